package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// maxApplyBytes bounds one Apply call, below the 4 MiB that a gRPC server
// takes unless its author knew better. One change may be larger.
const maxApplyBytes = 3 << 20

// storeFacade is a plugin's [retain.Store].
//
// Its errors name the plugin. Those that wrap [hook.ErrUnavailable],
// [hook.ErrLost] or [hook.ErrTimeout] say that the plugin could not be asked or
// did not answer: the same call may well succeed later. All others are the
// plugin's own answer and will be the same until something is done about it.
type storeFacade struct {
	set   *facades
	limit atomic.Int64 // MaxMessageBytes, as the plugin told last

	calls *hook.Counters // nil: not counted
	watch *hook.Watch    // nil: nobody watches
}

var (
	_ retain.Limiter = (*storeFacade)(nil)
	_ hook.Waiter    = (*storeFacade)(nil)
)

// WaitReady waits until the plugin is there.
func (f *storeFacade) WaitReady(ctx context.Context) error { return f.set.slot.WaitReady(ctx) }

// enter waits, as long as ctx lasts, while the plugin is being replaced: nobody
// is told of a store that failed because it has a new version.
func (f *storeFacade) enter(ctx context.Context) (*binding, error) {
	for {
		b, err := f.set.enter(nil)
		if !errors.Is(err, hook.ErrPaused) {
			return b, err
		}
		if err := f.WaitReady(ctx); err != nil {
			return nil, err
		}
	}
}

// MaxMessageBytes is what the plugin told with its last answer; see
// [retain.Limiter].
func (f *storeFacade) MaxMessageBytes() int { return int(f.limit.Load()) }

// learn takes over the limit of an answer. One that no int can hold is none.
func (f *storeFacade) learn(limit uint64) {
	if limit > math.MaxInt {
		limit = 0
	}
	f.limit.Store(int64(limit))
}

// Load yields what the plugin keeps; see [retain.Store].
func (f *storeFacade) Load(ctx context.Context) iter.Seq2[retain.Record, error] {
	return func(yield func(retain.Record, error) bool) {
		stopped := errors.New("the caller has seen enough")
		err := f.load(ctx, func(r retain.Record) error {
			if !yield(r, nil) {
				return stopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(retain.Record{}, f.named(err))
		}
	}
}

// load stops at the first error of yield and returns it.
func (f *storeFacade) load(ctx context.Context, yield func(retain.Record) error) error {
	b, err := f.enter(ctx)
	if err != nil {
		return err
	}
	defer b.leave()
	callCtx, done, err := b.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	stream, err := b.in.conn.NewStream(callCtx, &grpc.StreamDesc{ServerStreams: true},
		pluginv1.RetainedStoreService_Load_FullMethodName,
		grpc.ForceCodecV2(codec), grpc.MaxCallRecvMsgSize(maxMessageBytes))
	if err != nil {
		return b.callError(ctx, err, false)
	}
	if err := stream.SendMsg(new(pluginv1.LoadRequest)); err != nil && !errors.Is(err, io.EOF) {
		return b.callError(ctx, err, true)
	}
	var highest, limit uint64
	for {
		response := new(pluginv1.LoadResponse) // its records' payloads are kept
		in := incoming{into: generated{response}}
		if err := stream.RecvMsg(&in); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return b.callError(ctx, err, true)
		}
		if in.err != nil {
			return illegal("%v", in.err)
		}
		if err := yieldRecords(response, yield); err != nil {
			return err
		}
		highest, limit = max(highest, response.Revision), response.MaxMessageBytes
	}
	f.learn(limit)
	if highest == 0 {
		return nil
	}
	return yield(retain.Record{Revision: highest})
}

func yieldRecords(response *pluginv1.LoadResponse, yield func(retain.Record) error) error {
	if err := legalRevision(response.Revision); err != nil {
		return err
	}
	for _, p := range response.Records {
		r, err := recordFromProto(p)
		if err != nil {
			return err
		}
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

// Apply has the plugin make changes durable; see [retain.Store]. What does not
// fit into one call goes in several, in order: should a later one fail, the
// plugin skips what it has when the changes come again.
func (f *storeFacade) Apply(ctx context.Context, changes []retain.Change) error {
	for i := range changes {
		if err := checkChange(&changes[i]); err != nil {
			return f.named(err)
		}
	}
	for len(changes) > 0 {
		began := time.Now()
		n, err := f.apply(ctx, changes)
		f.told(began, n, err)
		if err != nil {
			return f.named(err)
		}
		changes = changes[n:]
	}
	return nil
}

// told counts one call with n changes, and tells those who watch.
func (f *storeFacade) told(began time.Time, n int, err error) {
	took := time.Since(began)
	if f.calls != nil {
		switch {
		case errors.Is(err, hook.ErrTimeout):
			f.calls.Took(hook.PointRetain, hook.OutcomeTimeout, took, 1)
		case err != nil:
			f.calls.Took(hook.PointRetain, hook.OutcomeFailed, took, 1)
		default:
			f.calls.Took(hook.PointRetain, hook.OutcomePass, took, n)
		}
	}
	if f.watch == nil {
		return
	}
	if watchers := f.watch.Of(f.set.slot.name, hook.PointRetain); watchers != nil {
		watchers.Tell(&hook.Report{
			Hook: f.set.slot.name, Point: hook.PointRetain, Began: began, Took: took, Waited: took, Attempts: 1, Changes: n, Err: err,
		})
	}
}

// apply makes one call with as many of the changes as fit, and returns how many.
func (f *storeFacade) apply(ctx context.Context, changes []retain.Change) (n int, err error) {
	b, err := f.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer b.leave()
	var out outgoing
	n = marshalChanges(&out, changes)
	var response pluginv1.ApplyResponse
	err = b.invoke(ctx, pluginv1.RetainedStoreService_Apply_FullMethodName, &out, generated{&response}, maxCallBytes)
	if err != nil {
		return 0, err
	}
	if last := changes[n-1].Revision; response.Revision < last {
		return 0, illegal("it has revision %d after changes up to %d", response.Revision, last)
	}
	f.learn(response.MaxMessageBytes)
	return n, nil
}

func marshalChanges(out *outgoing, changes []retain.Change) (n int) {
	size := 0
	for n < len(changes) {
		more := 64
		if m := changes[n].Message; m != nil {
			more += sizeMessage(m, m.Payload)
		}
		more += len(changes[n].Topic)
		if n > 0 && size+more > maxApplyBytes {
			break
		}
		size += more
		n++
	}
	out.alloc(size)
	dst := *out.buf
	for i := range n {
		dst = appendNested(dst, 1, func(dst []byte) []byte { return appendChange(dst, &changes[i]) })
	}
	*out.buf = dst
	return n
}

// named puts the plugin's name before an error.
func (f *storeFacade) named(err error) error {
	return fmt.Errorf("retained store %s: %w", f.set.slot.name, f.set.counted(err))
}
