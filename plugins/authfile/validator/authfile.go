package validator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
)

// Authfile is the running plugin. Its methods are called by the SDK, from many
// goroutines at once.
type Authfile struct {
	log      *slog.Logger
	judge    atomic.Pointer[judge]
	refusals *refusals
	counters counters
	// problem is why the rules in use are not those of the file; "" if they
	// are.
	problem atomic.Value

	mu    sync.Mutex // one configuration after the other; guards the field below
	watch *watch     // nil if the file is not watched
}

// open reads the configuration and the users file and begins to watch the
// file. An error holds a remark for each problem.
func open(ctx context.Context, s *pluginapi.Setup) (*Authfile, error) {
	a := &Authfile{log: s.Logger, refusals: newRefusals(s.Logger)}
	a.problem.Store("")
	if err := a.configure(ctx, s); err != nil {
		return nil, err
	}
	return a, nil
}

// Reconfigure switches to another configuration and the users file that it
// names, or changes nothing.
func (a *Authfile) Reconfigure(ctx context.Context, s *pluginapi.Setup) error {
	return a.configure(ctx, s)
}

func (a *Authfile) configure(ctx context.Context, s *pluginapi.Setup) error {
	c, err := readConfig(s)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := stat(c.File) // before it is read, so that no change is missed
	set, err := users.Load(c.File)
	if err != nil {
		a.logProblems(err) // with excerpts, for which remarks have no room
		return asConfigErrors(err)
	}
	warn(s, set)
	a.watch.stop() // before the new rules are in place: it may be loading old ones
	a.watch = nil
	a.judge.Store(c.newJudge(set))
	a.problem.Store("")
	if c.Reload {
		a.watch = newWatch(c.File, seen, a.log, func() { a.reload(c) })
		a.watch.start(ctx)
	}
	return nil
}

// reload reads the users file again. A broken one changes nothing but the
// plugin's health. It is called by the watch alone, one call after the other.
func (a *Authfile) reload(c Config) {
	set, err := users.Load(c.File)
	if err != nil {
		a.counters.broken.Add(1)
		a.problem.Store(summary(err))
		a.logProblems(err)
		return
	}
	old := a.judge.Load()
	a.judge.Store(&judge{set: set, abstain: old.abstain, zone: old.zone, check: old.check})
	a.problem.Store("")
	a.counters.loaded.Add(1)
	a.log.Info("users file loaded",
		slog.String("file", c.File), slog.Int("users", set.Len()), slog.Int("warnings", len(set.Warnings())))
	for _, w := range set.Warnings()[:min(len(set.Warnings()), maxLogged)] {
		a.log.Warn("users file should be looked at", place(w)...)
	}
}

// maxLogged is how many warnings about one file are logged.
const maxLogged = 5

// ValidateConnection decides about a client. An error means that nobody waited
// long enough for the password to be checked.
func (a *Authfile) ValidateConnection(ctx context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
	ru, err := a.judge.Load().decide(ctx, c)
	if err != nil {
		a.counters.decisions[undecided].Add(1)
		return nil, err
	}
	a.counters.decisions[ru.outcome].Add(1)
	if ru.decision.Word == pluginapi.Deny {
		a.refusals.refused(ctx, c, ru)
	}
	return ru.decision, nil
}

// Health is degraded as long as the users file is broken.
func (a *Authfile) Health(context.Context) error {
	if problem, _ := a.problem.Load().(string); problem != "" {
		return pluginapi.Degraded("the users file can't be used and the old rules stay: " + problem)
	}
	return nil
}

// Metrics returns what was counted.
func (a *Authfile) Metrics(context.Context) ([]byte, error) {
	var b bytes.Buffer
	problem, _ := a.problem.Load().(string)
	a.counters.write(&b, a.judge.Load().set.Len(), problem != "")
	return b.Bytes(), nil
}

// Stop ends the watch of the file. Decisions can still be made.
func (a *Authfile) Stop(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watch.stop()
	a.watch = nil
	return nil
}

// logProblems logs what is wrong with a users file, a line for each problem.
func (a *Authfile) logProblems(err error) {
	broken, ok := errors.AsType[*users.Error](err)
	if !ok {
		a.log.Error("users file can't be read", slog.Any("error", err))
		return
	}
	for _, p := range broken.Problems {
		a.log.Error("users file is broken", append(place(p), slog.String("excerpt", p.Excerpt))...)
	}
	if broken.More > 0 {
		a.log.Error("users file has more problems",
			slog.String("file", broken.Problems[0].File), slog.Int("more", broken.More))
	}
}

// place is a problem as attributes of a log line.
func place(p users.Problem) []any {
	return []any{
		slog.String("file", p.File), slog.Int("line", p.Line), slog.Int("column", p.Column),
		slog.String("problem", p.Message),
	}
}

// summary is an error about a users file in one line.
func summary(err error) string {
	if broken, ok := errors.AsType[*users.Error](err); ok {
		if n := len(broken.Problems) + broken.More - 1; n > 0 {
			return fmt.Sprintf("%s (and %d more)", broken.Problems[0], n)
		}
		return broken.Problems[0].String()
	}
	if errors.Is(err, os.ErrNotExist) {
		return err.Error() + " (was it renamed?)"
	}
	return err.Error()
}
