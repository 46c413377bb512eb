package pluginhost

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

type observeStream = grpc.BidiStreamingServer[pluginv1.ObserveStreamRequest, pluginv1.ObserveStreamResponse]

type fakeObserver struct {
	pluginv1.UnimplementedObserverServiceServer
	stream func(observeStream) error
	unary  func(context.Context, *pluginv1.ObserveRequest) (*pluginv1.ObserveResponse, error)
}

func (f *fakeObserver) ObserveStream(s observeStream) error { return f.stream(s) }

func (f *fakeObserver) Observe(ctx context.Context, r *pluginv1.ObserveRequest) (*pluginv1.ObserveResponse, error) {
	return f.unary(ctx, r)
}

func observing(f *fakeObserver) fakePlugin {
	return fakePlugin{
		register:     func(s *grpc.Server) { pluginv1.RegisterObserverServiceServer(s, f) },
		capabilities: &pluginv1.Capabilities{ObserveStream: f.stream != nil},
	}
}

// told is what an observer was told, batch by batch.
type told struct {
	seqs    []uint64
	dropped uint64
}

func seqs(events []*pluginv1.Event) (out []uint64) {
	for _, e := range events {
		out = append(out, e.Seq)
	}
	return out
}

// listen takes batches and confirms each.
func listen(to chan<- told) func(observeStream) error {
	return func(s observeStream) error {
		for n := uint64(1); ; n++ {
			q, err := s.Recv()
			if err != nil {
				return nil
			}
			to <- told{seqs(q.Events), q.Dropped}
			if err := s.Send(&pluginv1.ObserveStreamResponse{Batches: n}); err != nil {
				return err
			}
		}
	}
}

func listening(to chan<- told) fakePlugin { return observing(&fakeObserver{stream: listen(to)}) }

// events makes events with these numbers.
func events(from, to uint64) (list []hook.Event) {
	for seq := from; seq <= to; seq++ {
		list = append(list, hook.Event{Kind: hook.Published, Time: time.Unix(1, 0), Seq: seq, Message: message("a", "p")})
	}
	return list
}

func TestObserveStream(t *testing.T) {
	to := make(chan told, 100)
	r := newRig(t, listening(to))
	o := r.facades().observer
	o.Observe(deadline(t), events(1, 3), 0)
	if got := receive(t, to); !slices.Equal(got.seqs, []uint64{1, 2, 3}) || got.dropped != 0 {
		t.Errorf("%+v", got)
	}
	o.Observe(deadline(t), events(4, 4), 7)
	if got := receive(t, to); !slices.Equal(got.seqs, []uint64{4}) || got.dropped != 7 {
		t.Errorf("%+v", got)
	}
	o.Observe(deadline(t), nil, 2) // nothing but a loss to tell
	if got := receive(t, to); len(got.seqs) != 0 || got.dropped != 2 {
		t.Errorf("%+v", got)
	}
	o.Observe(deadline(t), events(5, 4+3*maxEventsPerBatch), 0) // more than a batch, in order
	next := uint64(5)
	for range 3 {
		for _, seq := range receive(t, to).seqs {
			if seq != next {
				t.Fatalf("event %d, want %d", seq, next)
			}
			next++
		}
	}
	if s := r.facades().stats(); s.Events != next-1 || s.EventsLost != 9 {
		t.Errorf("%+v", s)
	}
}

func TestObserveUnary(t *testing.T) {
	to := make(chan told, 10)
	fail := false
	r := newRig(t, observing(&fakeObserver{unary: func(_ context.Context, q *pluginv1.ObserveRequest) (*pluginv1.ObserveResponse, error) {
		if fail {
			return nil, errors.New("can't remember all that")
		}
		to <- told{seqs(q.Events), q.Dropped}
		return &pluginv1.ObserveResponse{}, nil
	}}))
	o := r.facades().observer
	o.Observe(deadline(t), events(1, 2), 0)
	if got := receive(t, to); !slices.Equal(got.seqs, []uint64{1, 2}) {
		t.Errorf("%+v", got)
	}
	fail = true
	o.Observe(deadline(t), events(3, 5), 1)
	fail = false
	o.Observe(deadline(t), events(6, 6), 0)
	if got := receive(t, to); !slices.Equal(got.seqs, []uint64{6}) || got.dropped != 4 {
		t.Errorf("%+v: it was not told of what it lost", got)
	}
	if s := r.facades().stats(); s.Events != 3 || s.EventsLost != 4 {
		t.Errorf("%+v", s)
	}
}

// TestObserveSlowPlugin: a plugin that does not confirm holds its own goroutine
// until the deadline, no longer, and keeps its stream.
func TestObserveSlowPlugin(t *testing.T) {
	to, proceed := make(chan told, 100), make(chan uint64)
	r := newRig(t, observing(&fakeObserver{stream: func(s observeStream) error {
		go func() {
			for n := range proceed {
				_ = s.Send(&pluginv1.ObserveStreamResponse{Batches: n})
			}
		}()
		for {
			q, err := s.Recv()
			if err != nil {
				return nil
			}
			to <- told{seqs(q.Events), q.Dropped}
		}
	}}))
	defer close(proceed)
	o := r.facades().observer
	for i := range uint64(maxUnconfirmed) {
		o.Observe(deadline(t), events(i+1, i+1), 0)
		receive(t, to)
	}
	ctx, cancel := context.WithTimeout(deadline(t), 20*time.Millisecond)
	defer cancel()
	o.Observe(ctx, events(9, 11), 0) // nobody takes them
	proceed <- maxUnconfirmed
	o.Observe(deadline(t), events(12, 12), 0)
	if got := receive(t, to); !slices.Equal(got.seqs, []uint64{12}) || got.dropped != 3 {
		t.Errorf("%+v", got)
	}
	if s := r.facades().stats(); s.EventsLost != 3 {
		t.Errorf("%+v", s)
	}
}

// TestObservePluginDies: what was on its way counts as lost, and what comes
// while there is no plugin waits for the next, within bounds.
func TestObservePluginDies(t *testing.T) {
	deaf := make(chan struct{}, 100)
	r := newRig(t, observing(&fakeObserver{stream: func(s observeStream) error {
		for {
			if _, err := s.Recv(); err != nil {
				return nil
			}
			deaf <- struct{}{} // and no confirmation
		}
	}}))
	o := r.facades().observer
	o.Observe(deadline(t), events(1, 2), 0)
	o.Observe(deadline(t), events(3, 5), 0)
	receive(t, deaf)
	receive(t, deaf)
	r.slot.vacate(r.in, errors.New("killed"))

	ctx, cancel := context.WithTimeout(deadline(t), 10*time.Millisecond)
	defer cancel()
	o.Observe(ctx, events(6, 6), 0) // in vain

	to := make(chan told, 10)
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		o.Observe(deadline(t), events(7, 7), 0)
	}()
	r.start(listening(to))
	if got := receive(t, to); !slices.Equal(got.seqs, []uint64{7}) || got.dropped != 6 {
		t.Errorf("%+v", got)
	}
	receive(t, waited)
	if s := r.facades().stats(); s.EventsLost != 6 {
		t.Errorf("%+v", s)
	}
}

// TestObserveStreamBreaks: the next batch goes on a new stream, and the batch
// that was not confirmed counts as lost.
func TestObserveStreamBreaks(t *testing.T) {
	confirm := func(n uint64) func(observeStream) error {
		return func(s observeStream) error {
			_ = s.Send(&pluginv1.ObserveStreamResponse{Batches: n})
			<-s.Context().Done()
			return nil
		}
	}
	for name, end := range map[string]func(observeStream) error{
		"an error":           func(observeStream) error { return status.Error(codes.Internal, "out of paper") },
		"quietly":            func(observeStream) error { return nil },
		"confirmed too much": confirm(2),
	} {
		t.Run(name, func(t *testing.T) {
			to := make(chan told, 10)
			first := true
			r := newRig(t, observing(&fakeObserver{stream: func(s observeStream) error {
				if !first {
					return listen(to)(s)
				}
				first = false
				if _, err := s.Recv(); err != nil {
					return err
				}
				return end(s)
			}}))
			o := r.facades().observer
			o.Observe(deadline(t), events(1, 2), 0)
			eventually(t, "the loss was noticed", func() bool { return o.adrift.Load() == 2 })
			o.Observe(deadline(t), events(3, 3), 0)
			if got := receive(t, to); !slices.Equal(got.seqs, []uint64{3}) || got.dropped != 2 {
				t.Errorf("%+v", got)
			}
			if s := r.facades().stats(); s.EventsLost != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestObserveStuckSend: a plugin that does not even read.
func TestObserveStuckSend(t *testing.T) {
	p := observing(&fakeObserver{stream: func(s observeStream) error {
		<-s.Context().Done()
		return nil
	}})
	p.options = []grpc.ServerOption{grpc.InitialWindowSize(65535), grpc.InitialConnWindowSize(65535)}
	r := newRig(t, p)
	big := events(1, 1)
	big[0].Message = message("a", strings.Repeat("x", 200<<10))
	for range 3 {
		ctx, cancel := context.WithTimeout(deadline(t), 20*time.Millisecond)
		r.facades().observer.Observe(ctx, big, 0)
		cancel()
	}
	eventually(t, "the stuck events are lost", func() bool {
		return r.facades().stats().EventsLost > 0
	})
}
