package pluginapi

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/lanes"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// maxOpenCalls bounds the calls of one stream that are not decided yet. With so
// many open, the stream is not read, and the broker feels it.
const maxOpenCalls = 4096

// interceptorService serves MessageInterceptorService.
type interceptorService struct {
	pluginv1.UnimplementedMessageInterceptorServiceServer
	core *core
	pool *interceptPool
}

func newInterceptorService(c *core) *interceptorService {
	return &interceptorService{core: c, pool: lanes.New[laneOf](c.plugin.workers(), c.runCalls)}
}

func (*interceptorService) ownStream() {}

// Intercept decides one batch. If one of its calls could not be decided, none
// is: that is what an error means to the broker.
func (s *interceptorService) Intercept(ctx context.Context, req *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error) {
	in, err := s.core.begin(1)
	if err != nil {
		return nil, err
	}
	defer s.core.work.done(1)
	clients := newClientTable()
	for _, c := range req.GetClients() {
		clients.add(c)
	}
	r := &request{ctx: ctx}
	r.open.Add(len(req.GetCalls()))
	calls := make([]openCall, len(req.GetCalls()))
	for i, pb := range req.GetCalls() {
		o := &calls[i]
		callFromProto(pb, o)
		o.to = r
		o.client, o.undecided = clients.of(o.place.connection)
	}
	s.start(ctx, in, calls)
	r.open.Wait()
	if r.failed != nil {
		s.core.failures.warn("interceptor could not decide", slog.Any("err", r.failed))
		return nil, toStatus("intercept", r.failed)
	}
	resp := new(pluginv1.InterceptResponse)
	for _, part := range responses(r.decided) {
		resp.Passed = append(resp.Passed, part.GetPassed()...)
		resp.Verdicts = append(resp.Verdicts, part.GetVerdicts()...)
	}
	return resp, nil
}

// request gathers the answers of a unary call.
type request struct {
	ctx  context.Context // a request is one call
	open sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	decided []answer
	failed  error // the first that could not be decided
}

func (r *request) context() context.Context { return r.ctx }

func (r *request) answered(calls []*openCall) {
	r.mu.Lock()
	for _, o := range calls {
		if r.failed == nil {
			r.failed = o.undecided
		}
		r.decided = append(r.decided, answer{o.place.seq, o.verdict})
	}
	r.mu.Unlock()
	r.open.Add(-len(calls))
}

// InterceptStream decides frames. Calls of the single interfaces run at once,
// those of one client in order; a batch interceptor gets one frame after the
// other.
func (s *interceptorService) InterceptStream(stream pluginv1.MessageInterceptorService_InterceptStreamServer) error {
	if s.core.running.Load() == nil {
		return errNotInitialised
	}
	f := &framing{
		service: s,
		ctx:     stream.Context(),
		clients: newClientTable(),
		answers: newAnswers(stream.Send),
		room:    semaphore.NewWeighted(maxOpenCalls),
	}
	var sender errgroup.Group
	sender.Go(f.answers.run)
	receive := func() (*frame, error) {
		next := frames.Get().(*frame)
		return next, stream.RecvMsg(next)
	}
	err := eachFrame(s.core.stopping, receive, f.frame)
	f.open.Wait()
	f.answers.close()
	if sendErr := sender.Wait(); err == nil {
		err = sendErr
	}
	return err
}

// start hands calls to the pool, or to the batch interceptor at once. They are
// answered, possibly before start returns.
func (s *interceptorService) start(ctx context.Context, in *instance, calls []openCall) {
	for i := range calls {
		calls[i].in = in
	}
	if in.batch != nil {
		whole := make([]*openCall, len(calls))
		for i := range calls {
			whole[i] = &calls[i]
		}
		s.core.runBatch(ctx, whole)
		return
	}
	b := laneBatches.Get().(*lanes.Batch[laneOf, *openCall])
	for i := range calls {
		b.Add(calls[i].lane(), &calls[i])
	}
	s.pool.Submit(b)
	laneBatches.Put(b)
}

var laneBatches = sync.Pool{New: func() any { return new(lanes.Batch[laneOf, *openCall]) }}

// framing are the frames of one stream.
type framing struct {
	service *interceptorService
	ctx     context.Context // of the stream
	clients *clientTable
	answers *answers
	room    *semaphore.Weighted // for calls that are not decided yet
	open    sync.WaitGroup
}

// frame starts the calls of one frame.
func (f *framing) frame(next *frame) error {
	if err := next.read(f.clients); err != nil {
		return status.Errorf(codes.Internal, "intercept: %v", err)
	}
	f.clients.forget(next.forget) // its calls know theirs by now
	calls := next.calls
	if len(calls) == 0 {
		next.free()
		return nil
	}
	for i := range calls {
		calls[i].to = f
	}
	for len(calls) > 0 {
		n := min(len(calls), maxOpenCalls)
		if err := f.room.Acquire(f.ctx, int64(n)); err != nil {
			return toStatus("intercept", err)
		}
		in, err := f.service.core.begin(n)
		if err != nil {
			return err
		}
		f.open.Add(n)
		// A batch is decided at once and answered at once.
		f.answers.hold(in.batch != nil)
		f.service.start(f.ctx, in, calls[:n])
		f.answers.hold(false)
		calls = calls[n:]
	}
	return nil
}

func (f *framing) context() context.Context { return f.ctx }

// answered takes calls of one or several frames that were decided.
func (f *framing) answered(calls []*openCall) {
	for _, o := range calls {
		if o.undecided != nil {
			f.service.core.failures.warn("interceptor could not decide",
				slog.Uint64("connection", o.place.connection), slog.Any("err", o.undecided))
			o.verdict = undecided(o.place.seq, o.undecided)
		}
	}
	f.answers.add(calls)
	for first := 0; first < len(calls); {
		of, next := calls[first].frame, first+1
		for next < len(calls) && calls[next].frame == of {
			next++
		}
		of.release(next - first)
		first = next
	}
	n := len(calls)
	f.room.Release(int64(n))
	f.service.core.work.done(n)
	f.open.Add(-n)
}
