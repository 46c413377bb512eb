package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// supervisor keeps one plugin running. One goroutine executes [supervisor.run];
// the rest of the host reads its record and sends it orders.
type supervisor struct {
	*verifier
	*record
	slot   *slot
	log    *slog.Logger // carries the attribute plugin
	timing timing
	now    func() time.Time
	retry  *backoff
	launch func(context.Context, *start) (worker, *Failure)
	health func(context.Context, *grpc.ClientConn) (limitation string, err error)
	fit    func(context.Context, *grpc.ClientConn) error // may a new instance take over?

	// publish has the broker ask what the plugin now serves, and returns when
	// it does, or when ctx ends.
	publish func(ctx context.Context)

	validatorCalls   *hook.Counters
	interceptorCalls *hook.Counters
	otherCalls       *hook.Counters // of the observer and the store

	orders   chan order
	owed     []chan<- error // who wait for the outcome of the next start
	attempts int            // starts that were tried
	tried    looks          // at the files that the last start used

	// spare reports whether another plugin keeps the retained messages; nil: no.
	spare func() bool

	// settled is closed when it is known how the start of the host went for
	// this plugin.
	settled chan struct{}
	settle  func()

	// over is closed when run has returned.
	over chan struct{}
}

// crashesAtStart is how often a required plugin may crash while the host
// starts. What a killed broker left may still be on its way out.
const crashesAtStart = 3

func newSupervisor(f found, l *launcher, log *slog.Logger, changed func(), publish func(context.Context)) *supervisor {
	log = log.With(slog.String("plugin", f.Name))
	s := &supervisor{
		verifier: &verifier{found: f, pins: l.pins, shadowing: l.shadowing, describeLimit: l.timing.describe},
		slot:     newSlot(f.Name, log),
		log:      log,
		timing:   l.timing,
		now:      l.now,
		launch:   l.launch,
		health:   checkHealth,
		fit:      checkFitness,
		publish:  publish,

		validatorCalls:   new(hook.Counters),
		interceptorCalls: new(hook.Counters),
		otherCalls:       new(hook.Counters),
		orders:           make(chan order),
		settled:          make(chan struct{}),
		over:             make(chan struct{}),
	}
	s.slot.facades.store.calls, s.slot.facades.store.watch = s.otherCalls, l.watch
	s.record = newRecord(f, l.now, changed)
	s.settle = sync.OnceFunc(func() { close(s.settled) })
	s.retry = s.newBackoff()
	return s
}

func (s *supervisor) newBackoff() *backoff {
	b := newBackoff(s.timing, s.MaxFailures)
	if s.place.attach != "" {
		b.tries, b.longest = -1, s.timing.attachPause
	}
	return b
}

// run starts the plugin, and starts it again when it ends, until life ends;
// then it stops it, gently until halt ends. It returns when nothing of the
// plugin runs any more. A life that ended because of [errRemoved] lets calls
// that the plugin has come to their end.
func (s *supervisor) run(life, halt context.Context) {
	defer close(s.over)
	defer s.settle()
	for life.Err() == nil {
		w, failure := s.bringUp(life)
		s.answer(failure)
		var ready time.Duration
		if failure == nil {
			if failure, ready = s.tend(life, halt, w); failure == nil {
				break
			}
		}
		if life.Err() == nil {
			s.afterFailure(life, failure, ready)
		}
	}
	s.slot.explain(errStopping, hopeless)
	if removal(life) {
		s.slot.explain(errRemoved, removed)
	}
	s.answer(&Failure{Plugin: s.Name, What: errStopping.Error()})
	s.enter(Stopped)
}

// removal reports whether life ended because the plugin is not wanted any more.
func removal(life context.Context) bool { return errors.Is(context.Cause(life), errRemoved) }

// bringUp makes one attempt to get from the files to Ready.
func (s *supervisor) bringUp(ctx context.Context) (worker, *Failure) {
	if s.attempts++; s.attempts > 1 {
		s.restarted()
	}
	c := s.inspect(ctx, s.verifier)
	s.tried = c.looks
	s.learn(c.verified.manifest)
	if c.failure != nil {
		return nil, c.failure
	}
	s.enter(Verified)
	s.writes(c.out)
	s.enter(Starting)
	if c.worker, c.failure = s.launch(ctx, c.start); c.failure != nil {
		if s.place.attach == "" {
			s.shunned = c.verified.attach // next time without it
		}
		return nil, c.failure
	}
	if f := s.install(c); f != nil {
		return nil, f
	}
	s.settle()
	return c.worker, nil
}

// install puts a candidate that was launched into the slot.
func (s *supervisor) install(c *candidate) *Failure {
	fs := c.worker.facts()
	if err := s.slot.install(fs.instance); err != nil {
		fs.instance.fail(c.fail(s.now(), KindIncomplete, fmt.Sprintf("its answer to Init makes no sense: %v", err),
			"report this to the plugin's author"))
		return c.worker.autopsy()
	}
	c.worker.expose()
	s.ready(fs)
	s.log.Info("plugin is ready", slog.Int("pid", fs.pid), slog.String("version", fs.instance.init.GetVersion()),
		slog.Any("services", fs.instance.init.GetServices()), slog.String("socket", fs.socket))
	return nil
}

// takeDown stops an instance: what it has may end before it is asked to go.
func (s *supervisor) takeDown(life, halt context.Context, w worker) {
	in := w.facts().instance
	s.enter(Draining)
	if removal(life) {
		s.slot.retire(in, removed, errRemoved)
		s.slot.facades.settled(halt, in, s.timing.handover)
		w.drain(halt)
	} else {
		s.slot.retire(in, hopeless, errStopping)
		w.drain(halt)
		s.slot.facades.settled(halt, in, s.timing.settle)
	}
	s.slot.vacate(in, errStopping)
	w.stop(halt)
}

// afterFailure writes a failure down and waits until the next start makes sense.
func (s *supervisor) afterFailure(ctx context.Context, f *Failure, ready time.Duration) {
	pause, giveUp := s.retry.failed(s.now(), ready)
	if f.Kind.lasting() || giveUp {
		s.giveUp(ctx, f, giveUp)
		return
	}
	s.slot.explain(errors.New(f.What), awaited)
	s.failed(f, s.now().Add(pause))
	s.log.Warn("plugin failed and is started again", slog.String("cause", f.What), f.remedy(),
		slog.Duration("in", pause))
	if f.Kind != KindExited || !s.required() || s.attempts >= crashesAtStart {
		s.settle()
	}
	if s.await(ctx, pause) {
		s.retry.reset()
	}
}

// giveUp waits for a change of the plugin's files.
func (s *supervisor) giveUp(ctx context.Context, f *Failure, often bool) {
	s.slot.explain(errors.New(f.What), hopeless)
	s.failed(f, time.Time{})
	s.log.Error("plugin failed and is not started until its files or its configuration change",
		slog.String("cause", f.What), f.remedy(), slog.Bool("too_often", often))
	s.settle()
	if s.await(ctx, -1) {
		s.retry.reset()
		s.log.Info("plugin is started again: its files changed, or somebody asked for it")
	}
}

// await waits for pause, for ever if it is negative, and reports whether it
// returned earlier because the plugin's files are not those of the last start,
// or because of an order.
func (s *supervisor) await(ctx context.Context, pause time.Duration) bool {
	look := time.NewTicker(s.timing.poll)
	defer look.Stop()
	var over <-chan time.Time
	if pause >= 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over:
			return false
		case o := <-s.orders:
			if o.entry != nil {
				s.adopt(*o.entry)
			}
			s.owed = append(s.owed, o.done)
			return true
		case <-look.C:
			if s.fingerprint() != s.tried.all {
				return true
			}
		}
	}
}

// answer tells those who wait for it how a start went.
func (s *supervisor) answer(f *Failure) {
	for _, done := range s.owed {
		if f != nil {
			done <- f
		} else {
			done <- nil
		}
	}
	s.owed = nil
}

// required reports whether the host can't start without the plugin.
func (s *supervisor) required() bool {
	entry := s.settings()
	if entry.Required != nil {
		return *entry.Required
	}
	services, known := s.services()
	if !known {
		// It may be a validator: starting without would let everybody in.
		return true
	}
	return entry.named && (services.validator || services.store && (s.spare == nil || !s.spare()))
}
