// Package shadow asks a second version of a hook what the first one is asked, and
// compares the answers. They are counted and told, and never used.
//
// A [Shadow] is a [hook.Watcher]: it sees what the first version was asked once
// that is decided. Clients put it into bounded queues and never wait; goroutines
// of the shadow take it out, each client's calls in their order, and ask the
// second version under the same policies. What finds no room is not compared,
// and counted.
package shadow

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
)

// Options say what is compared with what.
type Options struct {
	// Hook is the name of the first version's entries.
	Hook string
	// Same reports whether two answers to the same question agree. It is called
	// from many goroutines, and not for two answers that let a call pass as it is.
	Same func(first, second *trace.Call) bool
	// Differ is told of answers that do not. It is called from many goroutines, and
	// the second version waits for it. Nil means that nobody wants to know.
	Differ func(first, second *trace.Call)
}

// Bounds of what waits to be asked. Each client's calls wait in one queue.
const (
	queues    = 16
	perQueue  = 512
	maxBytes  = 16 << 20
	maxEvents = 4096
)

// Shadow compares two versions of a hook. It sees calls once it was added to a
// [hook.Watch], and asks while Run runs. All methods may be called from many
// goroutines, but Run only once.
type Shadow struct {
	options Options
	seed    maphash.Seed
	askers  [queues]*asker
	tap     *hook.Hooks // the second version's observer
	bytes   atomic.Int64
	waiting atomic.Int64  // reports that wait or are being asked about
	idle    chan struct{} // holds a token when there may be none any more
	counts  counts
}

// New makes a shadow with nothing to ask yet.
func New(o Options) *Shadow {
	if o.Differ == nil {
		o.Differ = func(_, _ *trace.Call) {}
	}
	s := &Shadow{options: o, seed: maphash.MakeSeed(), idle: make(chan struct{}, 1), tap: hook.NewHooks(nil)}
	for i := range s.askers {
		s.askers[i] = newAsker(s)
	}
	return s
}

// Bind says what the second version is: its validator and its interceptor are
// asked, its observer is told. Presence is where its observer learns who is
// connected; nil if nowhere. Counters of entries are shared by all that ask, so
// that one breaker opens for all.
func (s *Shadow) Bind(v []hook.ValidatorEntry, i []hook.InterceptorEntry, o []hook.ObserverEntry, p hook.Presence) {
	for _, a := range s.askers {
		a.hooks.SetValidators(v)
		a.hooks.SetInterceptors(i)
	}
	bounded := make([]hook.ObserverEntry, len(o))
	for n, e := range o {
		e.Queue = maxEvents
		e.Dropped = func(n uint64) { s.counts.leave(QueueFull, n) }
		bounded[n] = e
	}
	if p != nil {
		s.tap.SetPresence(p)
	}
	s.tap.SetObservers(bounded)
}

// Run asks until ctx ends, and returns when nothing asks any more.
func (s *Shadow) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, a := range s.askers {
		all.Go(func() { a.run(ctx) })
	}
	all.Wait()
	s.tap.Close()
}

var _ hook.Watcher = (*Shadow)(nil)

// Watches implements [hook.Watcher].
func (s *Shadow) Watches(name string, p hook.Point) bool {
	return name == s.options.Hook && p != hook.PointRetain
}

// Watched implements [hook.Watcher].
func (s *Shadow) Watched(r *hook.Report) {
	switch {
	case r.Hook != s.options.Hook:
	case r.Point == hook.PointEvent:
		for i := range r.Events {
			if e := &r.Events[i]; s.tap.Observes(e.Kind) {
				s.tap.Emit(e)
				s.counts.events.Add(1)
			}
		}
	default:
		if why := unusable(r); why != "" {
			s.counts.leave(why, questions(r))
			return
		}
		s.put(r)
	}
}

// put lets a report wait for its turn. It never waits itself.
func (s *Shadow) put(r *hook.Report) {
	size := sizeOf(r)
	s.waiting.Add(1)
	if s.bytes.Add(size) <= maxBytes {
		select {
		case s.askers[s.queueOf(r)].queue <- r:
			return
		default:
		}
	}
	s.bytes.Add(-size)
	s.counts.leave(QueueFull, questions(r))
	s.done()
}

// done says that a report waits no more.
func (s *Shadow) done() {
	if s.waiting.Add(-1) == 0 {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// Drain waits until everything that it saw was asked about, or ctx ends. One
// goroutine may, while Run runs.
func (s *Shadow) Drain(ctx context.Context) {
	for s.waiting.Load() > 0 {
		select {
		case <-s.idle:
		case <-ctx.Done():
			return
		}
	}
}

// queueOf is where a client's calls wait: always the same place.
func (s *Shadow) queueOf(r *hook.Report) uint64 {
	id := ""
	switch {
	case r.Connect != nil:
		id = r.Connect.ClientID
	case len(r.Calls) > 0:
		c := &r.Calls[0].Asked
		if id = c.Receiver; id == "" && c.Client != nil {
			id = c.Client.ID
		}
	}
	return maphash.String(s.seed, id) % queues
}

// questions is how many calls a report is about.
func questions(r *hook.Report) uint64 { return uint64(max(1, len(r.Calls))) }

// sizeOf is what a report that waits keeps in memory, as far as clients decide
// that.
func sizeOf(r *hook.Report) (n int64) {
	if c := r.Connect; c != nil {
		n += int64(len(c.Password) + len(c.AuthData) + len(c.ClientID) + len(c.Username))
		if c.Will != nil {
			n += messageSize(c.Will.Message)
		}
	}
	for i := range r.Calls {
		n += messageSize(r.Calls[i].Asked.Message)
	}
	return n
}

func messageSize(m *mqtt.Message) int64 {
	if m == nil {
		return 0
	}
	return int64(m.Size())
}
