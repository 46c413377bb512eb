package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// maxUnconfirmed is how many batches of events may be on their way.
const maxUnconfirmed = 8

// tapStream is the stream of events to one plugin instance. It opens with the
// first batch, and again after it broke. Batches come from one goroutine.
type tapStream struct {
	conn grpc.ClientConnInterface
	lost *atomic.Uint64 // counts events that were on their way when a stream broke
	// fault is told of a stream that ended with an illegal answer; nil: nobody is.
	fault func(cause error)

	mu      sync.Mutex // guards the fields below
	ended   bool
	current *tapCall // nil before the first batch and after a break
}

// tapCall is one ObserveStream call.
type tapCall struct {
	grpc.ClientStream
	cancel    context.CancelFunc
	received  chan struct{} // closed when receive has returned
	confirmed chan struct{} // holds a token when the plugin has confirmed more
	broken    error         // written before received is closed

	// guarded by tapStream.mu
	sent  uint64
	taken uint64
	sizes [maxUnconfirmed]int // events of the batches taken+1 to sent, by number
}

// send sends a batch of n events, after waiting until the plugin has confirmed
// enough of those before. The error wraps [hook.ErrUnavailable] or
// [hook.ErrTimeout] if the batch was not handed over; if it was, the error wraps
// [hook.ErrLost], and t.lost has it already.
func (t *tapStream) send(ctx context.Context, out *outgoing, n int) error {
	call, err := t.open(ctx)
	if err != nil {
		return err
	}
	if err := t.reserve(ctx, call, n); err != nil {
		return err
	}
	// A stuck stream is of no more use; ending it ends SendMsg.
	stop := context.AfterFunc(ctx, call.cancel)
	err = call.SendMsg(out)
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		// io.EOF: receive knows why. Other errors are ours, and ended the call.
		call.cancel()
		<-call.received
		return fmt.Errorf("%w: %w", hook.ErrLost, call.broken)
	}
	return nil
}

// open returns the stream to use.
func (t *tapStream) open(ctx context.Context) (*tapCall, error) {
	t.mu.Lock()
	call, ended := t.current, t.ended
	t.mu.Unlock()
	if ended {
		return nil, fmt.Errorf("%w: %w", hook.ErrUnavailable, errGone)
	}
	if call != nil {
		return call, nil
	}
	// The stream outlives this batch, but a batch waits for it no longer than
	// its context lasts.
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	cs, err := t.conn.NewStream(streamCtx, &pluginv1.ObserverService_ServiceDesc.Streams[0],
		pluginv1.ObserverService_ObserveStream_FullMethodName,
		grpc.ForceCodecV2(codec), grpc.MaxCallRecvMsgSize(maxCallBytes))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: %w", hook.ErrUnavailable, streamError(err))
	}
	call = &tapCall{
		ClientStream: cs, cancel: cancel,
		received: make(chan struct{}), confirmed: make(chan struct{}, 1),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		cancel()
		return nil, fmt.Errorf("%w: %w", hook.ErrUnavailable, errGone)
	}
	t.current = call
	go t.receive(call)
	return call, nil
}

// reserve waits for room for one more batch on its way.
func (t *tapStream) reserve(ctx context.Context, call *tapCall, n int) error {
	for {
		t.mu.Lock()
		if call.sent-call.taken < maxUnconfirmed {
			call.sizes[call.sent%maxUnconfirmed] = n
			call.sent++
			t.mu.Unlock()
			return nil
		}
		t.mu.Unlock()
		select {
		case <-call.confirmed:
		case <-call.received:
			return fmt.Errorf("%w: %w", hook.ErrUnavailable, call.broken)
		case <-ctx.Done():
			// Slow, not gone: the stream stays, the events don't.
			return hook.ErrTimeout
		}
	}
}

// receive takes confirmations until the call ends, and counts what was on its
// way then as lost.
func (t *tapStream) receive(call *tapCall) {
	defer close(call.received)
	defer call.cancel()
	var response pluginv1.ObserveStreamResponse
	in := incoming{into: generated{&response}}
	for call.broken == nil {
		err := call.RecvMsg(&in)
		switch {
		case err != nil:
			call.broken = streamError(err)
		case in.err != nil:
			call.broken = illegal("%v", in.err)
		default:
			call.broken = t.confirm(call, response.Batches)
		}
	}
	if t.fault != nil && errors.Is(call.broken, hook.ErrProtocol) {
		t.fault(call.broken)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := call.taken; n < call.sent; n++ {
		t.lost.Add(uint64(call.sizes[n%maxUnconfirmed]))
	}
	if t.current == call {
		t.current = nil
	}
}

func (t *tapStream) confirm(call *tapCall, batches uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if batches > call.sent || batches < call.taken {
		return illegal("%d batches confirmed of %d", batches, call.sent)
	}
	call.taken = batches
	select {
	case call.confirmed <- struct{}{}:
	default:
	}
	return nil
}

// quiet reports whether the plugin has confirmed everything that it was sent.
func (t *tapStream) quiet() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current == nil || t.current.sent == t.current.taken
}

// close ends the stream for good and waits for its goroutine.
func (t *tapStream) close() {
	t.mu.Lock()
	t.ended = true
	call := t.current
	t.mu.Unlock()
	if call != nil {
		call.cancel()
		<-call.received
	}
}
