package pluginapi

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

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
	return &interceptorService{core: c, pool: lanes.New[laneOf](c.plugin.workers(), c.runCall)}
}

func (*interceptorService) ownStream() {}

// Intercept decides one batch. If one of its calls could not be decided, none
// is: that is what an error means to the broker.
func (s *interceptorService) Intercept(ctx context.Context, req *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error) {
	in, err := s.core.begin(1)
	if err != nil {
		return nil, err
	}
	defer s.core.work.done()
	clients := make(clientTable, len(req.GetClients()))
	clients.add(req.GetClients())

	var mu sync.Mutex // guards the fields below
	var decided []answer
	var failed error
	var open sync.WaitGroup
	answered := func(pb *pluginv1.Call, v *pluginv1.Verdict, err error) {
		defer open.Done()
		mu.Lock()
		defer mu.Unlock()
		if err != nil && failed == nil {
			failed = err
		}
		decided = append(decided, answer{pb.GetSeq(), v})
	}
	open.Add(len(req.GetCalls()))
	s.start(ctx, in, clients, req.GetCalls(), answered)
	open.Wait()
	if failed != nil {
		s.core.failures.warn("interceptor could not decide", slog.Any("err", failed))
		return nil, toStatus("intercept", failed)
	}
	resp := new(pluginv1.InterceptResponse)
	for _, part := range responses(decided) {
		resp.Passed = append(resp.Passed, part.GetPassed()...)
		resp.Verdicts = append(resp.Verdicts, part.GetVerdicts()...)
	}
	return resp, nil
}

// InterceptStream decides frames. Calls of the single interfaces run at once,
// those of one client in order; a batch interceptor gets one frame after the
// other.
func (s *interceptorService) InterceptStream(stream pluginv1.MessageInterceptorService_InterceptStreamServer) error {
	if s.core.running.Load() == nil {
		return errNotInitialised
	}
	f := &frames{
		service: s,
		ctx:     stream.Context(),
		clients: make(clientTable),
		answers: newAnswers(stream.Send),
		room:    semaphore.NewWeighted(maxOpenCalls),
	}
	var sender errgroup.Group
	sender.Go(f.answers.run)
	err := eachFrame(s.core.stopping, stream.Recv, f.frame)
	f.open.Wait()
	f.answers.close()
	if sendErr := sender.Wait(); err == nil {
		err = sendErr
	}
	return err
}

// start hands calls to the pool, or to the batch interceptor at once. answered
// is called for each, possibly before start returns.
func (s *interceptorService) start(ctx context.Context, in *instance, clients clientTable, calls []*pluginv1.Call,
	answered func(*pluginv1.Call, *pluginv1.Verdict, error),
) {
	var batch lanes.Batch[laneOf, *openCall]
	var whole []*openCall
	for _, pb := range calls {
		client, err := clients.of(pb)
		if err != nil {
			answered(pb, nil, err)
			continue
		}
		o := &openCall{ctx: ctx, in: in, pb: pb, client: client, answer: answered}
		if in.batch != nil {
			whole = append(whole, o)
		} else {
			batch.Add(laneOfCall(pb), o)
		}
	}
	if in.batch != nil {
		s.core.runBatch(ctx, whole)
	} else {
		s.pool.Submit(&batch)
	}
}

// frames are the frames of one stream.
type frames struct {
	service *interceptorService
	ctx     context.Context // of the stream
	clients clientTable
	answers *answers
	room    *semaphore.Weighted // for calls that are not decided yet
	open    sync.WaitGroup
}

// frame starts the calls of one frame.
func (f *frames) frame(req *pluginv1.InterceptStreamRequest) error {
	c := f.service.core
	f.clients.add(req.GetClients())
	defer f.clients.forget(req.GetForget())
	calls := req.GetCalls()
	for len(calls) > 0 {
		n := min(len(calls), maxOpenCalls)
		if err := f.room.Acquire(f.ctx, int64(n)); err != nil {
			return toStatus("intercept", err)
		}
		in, err := c.begin(n)
		if err != nil {
			return err
		}
		f.open.Add(n)
		// A batch is decided at once and answered at once.
		f.answers.hold(in.batch != nil)
		f.service.start(f.ctx, in, f.clients, calls[:n], f.answered)
		f.answers.hold(false)
		calls = calls[n:]
	}
	return nil
}

// answered takes the outcome of a call.
func (f *frames) answered(pb *pluginv1.Call, v *pluginv1.Verdict, err error) {
	if err != nil {
		f.service.core.failures.warn("interceptor could not decide", slog.Uint64("connection", pb.GetConnectionId()), slog.Any("err", err))
		v = undecided(pb.GetSeq(), err)
	}
	f.answers.add(answer{pb.GetSeq(), v})
	f.room.Release(1)
	f.service.core.work.done()
	f.open.Done()
}
