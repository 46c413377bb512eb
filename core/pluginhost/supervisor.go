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
// the rest of the host reads its record.
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

	validatorCalls   *hook.Counters
	interceptorCalls *hook.Counters

	attempts int         // starts that were tried
	asOf     fingerprint // of the files that the last start used

	// settled is closed when it is known how the start of the host went for
	// this plugin.
	settled chan struct{}
	settle  func()
}

// crashesAtStart is how often a required plugin may crash while the host
// starts. What a killed broker left may still be on its way out.
const crashesAtStart = 3

func newSupervisor(f found, l *launcher, log *slog.Logger, changed func()) *supervisor {
	log = log.With(slog.String("plugin", f.Name))
	s := &supervisor{
		verifier: &verifier{found: f, describeLimit: l.timing.describe},
		slot:     newSlot(f.Name, log),
		log:      log,
		timing:   l.timing,
		now:      l.now,
		retry:    newBackoff(l.timing, f.MaxFailures),
		launch:   l.launch,
		health:   checkHealth,

		validatorCalls:   new(hook.Counters),
		interceptorCalls: new(hook.Counters),
		settled:          make(chan struct{}),
	}
	s.record = newRecord(l.now, changed)
	s.settle = sync.OnceFunc(func() { close(s.settled) })
	if f.place.attach != "" {
		s.retry.tries, s.retry.longest = -1, l.timing.attachPause
	}
	return s
}

// run starts the plugin, and starts it again when it ends, until life ends;
// then it stops it, gently until halt ends. It returns when nothing of the
// plugin runs any more.
func (s *supervisor) run(life, halt context.Context) {
	defer s.settle()
	for life.Err() == nil {
		w, failure := s.bringUp(life)
		var ready time.Duration
		if failure == nil {
			since := s.now()
			if s.tend(life, w) {
				s.takeDown(halt, w)
				break
			}
			ready = s.now().Sub(since)
			// Callers must not wait for the autopsy.
			s.slot.vacate(w.facts().instance, w.facts().instance.err())
			failure = w.autopsy()
		}
		if life.Err() == nil {
			s.afterFailure(life, failure, ready)
		}
	}
	s.slot.explain(errStopping, true)
	s.enter(Stopped)
}

// bringUp makes one attempt to get from the files to Ready.
func (s *supervisor) bringUp(ctx context.Context) (worker, *Failure) {
	s.asOf = s.fingerprint()
	if s.attempts++; s.attempts > 1 {
		s.restarted()
	}
	v, err := s.verify(ctx)
	s.learn(v.manifest)
	st := &start{found: s.found, verified: v, log: s.log, out: newOutput(s.log, s.now)}
	if err != nil {
		return nil, st.fail(s.now(), KindRefused, err.Error(), "")
	}
	s.enter(Verified)
	s.writes(st.out)
	s.enter(Starting)
	w, failure := s.launch(ctx, st)
	if failure != nil {
		return nil, failure
	}
	fs := w.facts()
	if err := s.slot.install(fs.instance); err != nil {
		fs.instance.fail(st.fail(s.now(), KindIncomplete, fmt.Sprintf("its answer to Init makes no sense: %v", err),
			"report this to the plugin's author"))
		return nil, w.autopsy()
	}
	s.ready(fs)
	s.settle()
	s.log.Info("plugin is ready", slog.Int("pid", fs.pid), slog.String("version", fs.instance.init.GetVersion()),
		slog.Any("services", fs.instance.init.GetServices()), slog.String("socket", fs.socket))
	return w, nil
}

// tend watches an instance. It reports true when life ended, false when the
// instance did.
func (s *supervisor) tend(life context.Context, w worker) bool {
	in := w.facts().instance
	tick := time.NewTicker(s.timing.healthEvery)
	defer tick.Stop()
	missed := 0
	for {
		err := s.examine(life, in)
		switch {
		case life.Err() != nil:
			return true
		case in.err() != nil:
			return false
		case err == nil:
			missed = 0
		default:
			missed++
			s.log.Warn("plugin missed a health check", slog.Int("missed", missed), slog.String("error", rpcError(err)))
		}
		if missed == s.timing.healthMiss {
			in.fail(&Failure{
				Plugin: s.Name, Kind: KindUnhealthy, Time: s.now(),
				What: fmt.Sprintf("it missed %d health checks in a row (%s)", missed, rpcError(err)),
				Do:   "look at its log for what it was doing",
			})
			return false
		}
		select {
		case <-life.Done():
			return true
		case <-in.done:
			return false
		case <-tick.C:
		}
	}
}

// examine makes one health check.
func (s *supervisor) examine(ctx context.Context, in *instance) error {
	ctx, cancel := context.WithTimeout(ctx, s.timing.healthLimit)
	defer cancel()
	limitation, err := s.health(ctx, in.conn)
	if err != nil {
		return err
	}
	if s.feels(limitation) {
		if limitation != "" {
			s.log.Warn("plugin is degraded", slog.String("health", limitation))
		} else {
			s.log.Info("plugin is well again")
		}
	}
	return nil
}

// takeDown stops an instance: what it has may end before it is asked to go.
func (s *supervisor) takeDown(halt context.Context, w worker) {
	in := w.facts().instance
	s.slot.retire(in, errStopping)
	s.enter(Draining)
	w.drain(halt)
	s.slot.facades.settled(halt, in, s.timing.settle)
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
	s.slot.explain(errors.New(f.What), false)
	s.failed(f, s.now().Add(pause))
	s.log.Warn("plugin failed and is started again", slog.String("cause", f.What), slog.String("do", f.Do),
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
	s.slot.explain(errors.New(f.What), true)
	s.failed(f, time.Time{})
	s.log.Error("plugin failed and is not started until its files or its configuration change",
		slog.String("cause", f.What), slog.String("do", f.Do), slog.Bool("too_often", often))
	s.settle()
	if s.await(ctx, -1) {
		s.retry.reset()
		s.log.Info("files of plugin changed")
	}
}

// await waits for pause, for ever if it is negative, and reports whether it
// returned earlier because the plugin's files are not those of the last start.
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
		case <-look.C:
			if s.fingerprint() != s.asOf {
				return true
			}
		}
	}
}

// required reports whether the host can't start without the plugin.
func (s *supervisor) required() bool {
	if s.Required != nil {
		return *s.Required
	}
	services, known := s.services()
	if !known {
		// It may be a validator: starting without would let everybody in.
		return true
	}
	return s.named && (services.validator || services.store)
}
