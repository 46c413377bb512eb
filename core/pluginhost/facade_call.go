package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

const (
	// maxCallBytes bounds an answer where a call does not say otherwise.
	maxCallBytes = 16 << 20

	// maxMessageBytes is room for one message of the largest size that MQTT
	// knows.
	maxMessageBytes = maxPayload + 64<<10
)

// binding is an instance while the facades call in. It knows the calls under
// way, so that none outlives it.
type binding struct {
	in        *instance
	plan      *payloadPlan
	coalescer *coalescer // nil if the plugin has no stream for interception
	tap       *tapStream // nil if it has none for events
	unary     unaryCalls

	generation uint64             // another number for every binding of the slot, never 0
	intercepts *interceptorFacade // whose interests are the binding's

	// users are the calls between enter and leave; shut says that no more of
	// them are let in. A caller counts itself before it looks, so that whoever
	// shuts the binding and then sees no users is the last one there.
	users atomic.Int64
	shut  atomic.Bool

	mu     sync.Mutex // guards the fields below
	ended  bool
	nextID uint64
	calls  map[uint64]context.CancelFunc
}

func newBinding(in *instance, plan *payloadPlan) *binding {
	b := &binding{in: in, plan: plan, calls: make(map[uint64]context.CancelFunc)}
	in.inHand.add(b)
	return b
}

// enter lets a call in, unless the binding is shut.
func (b *binding) enter() bool {
	b.users.Add(1)
	if b.shut.Load() {
		b.users.Add(-1)
		return false
	}
	return true
}

// leave is the end of a call that was let in.
func (b *binding) leave() { b.users.Add(-1) }

// begin returns a context for one call, which ends with the binding, and what
// to do when the call is over.
func (b *binding) begin(ctx context.Context) (context.Context, func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil, nil, fmt.Errorf("%w: %w", hook.ErrUnavailable, errGone)
	}
	ctx, cancel := context.WithCancel(ctx)
	b.nextID++
	id := b.nextID
	b.calls[id] = cancel
	return ctx, func() {
		b.mu.Lock()
		delete(b.calls, id)
		b.mu.Unlock()
		cancel()
	}, nil
}

// end cancels all calls, refuses new ones and ends the streams.
func (b *binding) end() {
	b.in.inHand.remove(b)
	b.mu.Lock()
	b.ended = true
	for _, cancel := range b.calls {
		cancel()
	}
	b.mu.Unlock()
	if b.coalescer != nil {
		b.coalescer.close()
	}
	if b.tap != nil {
		b.tap.close()
	}
}

func (b *binding) hasEnded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

var errGone = errors.New("the plugin is gone")

// invoke makes one unary call. Opening and sending are apart from receiving, so
// that a call which was certainly not handed over can be told from one that
// perhaps was.
func (b *binding) invoke(ctx context.Context, method string, request any, answer reader, limit int) error {
	callCtx, done, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	stream, err := b.in.conn.NewStream(callCtx, &grpc.StreamDesc{}, method,
		grpc.ForceCodecV2(codec), grpc.MaxCallRecvMsgSize(limit))
	if err != nil {
		return b.callError(ctx, err, false)
	}
	// io.EOF means that the call has ended already; RecvMsg tells how.
	if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("sending: %w", statusText(err))
	}
	in := incoming{into: answer}
	if err := stream.RecvMsg(&in); err != nil {
		return b.callError(ctx, err, true)
	}
	if in.err != nil {
		return illegal("%v", in.err)
	}
	return nil
}

// callError says in the words of package hook why a call failed.
func (b *binding) callError(ctx context.Context, err error, sent bool) error {
	code := status.Code(err)
	switch {
	case ctx.Err() != nil:
		return contextError(ctx, sent)
	case code == codes.DeadlineExceeded: // the timer of gRPC was the faster
		if sent {
			return hook.ErrTimeout
		}
		return fmt.Errorf("%w: %w", hook.ErrTimeout, hook.ErrUnavailable)
	case !sent:
		return fmt.Errorf("%w: %w", hook.ErrUnavailable, statusText(err))
	case b.hasEnded():
		return fmt.Errorf("%w: %w", hook.ErrLost, errGone)
	case code == codes.Unavailable:
		// A connection that broke, or a plugin that says so: nobody can tell.
		return fmt.Errorf("%w: %w", hook.ErrLost, statusText(err))
	default:
		return streamError(err)
	}
}

// streamError says why a call or a stream ended, if not by a lost connection.
func streamError(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the plugin ended the stream")
	}
	st, _ := status.FromError(err)
	switch {
	case st.Code() == codes.Unimplemented:
		return illegal("it serves no such method: %s", st.Message())
	case st.Code() == codes.ResourceExhausted && strings.Contains(st.Message(), "larger than max"):
		return illegal("%s", strings.TrimPrefix(st.Message(), "grpc: "))
	case st.Code() == codes.Internal:
		return fmt.Errorf("%w: %w", errBroken, statusText(err))
	default:
		return statusText(err)
	}
}

// statusText takes the frills off a gRPC error.
func statusText(err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	return fmt.Errorf("status %s: %s", st.Code(), st.Message())
}
