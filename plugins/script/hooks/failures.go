package hooks

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

const (
	// logEvery is how often a failure at one place is logged.
	logEvery = 10 * time.Second
	// maxPlaces bounds the places that are remembered for that.
	maxPlaces = 1000
	// remembered is for how long a failure shows in the plugin's health.
	remembered = 5 * time.Minute
)

// failures counts what scripts could not decide, and logs it: each place once in
// a while, with how often since.
type failures struct {
	log    *slog.Logger
	calls  atomic.Uint64
	failed atomic.Uint64
	lost   atomic.Uint64 // events

	mu     sync.Mutex // guards the fields below
	places map[string]*place
	last   string
	at     time.Time
}

type place struct {
	logged time.Time
	silent int // failures since
}

// note takes a failure.
func (f *failures) note(err error) {
	f.failed.Add(1)
	for _, failure := range script.Failures(err) {
		f.one(failure)
	}
}

func (f *failures) one(failure *script.Failure) {
	now := time.Now()
	f.mu.Lock()
	f.last, f.at = failure.Error(), now
	if f.places == nil || len(f.places) > maxPlaces {
		f.places = make(map[string]*place)
	}
	key := failure.Place + " " + failure.Function
	p := f.places[key]
	if p == nil {
		p = new(place)
		f.places[key] = p
	}
	if now.Sub(p.logged) < logEvery {
		p.silent++
		f.mu.Unlock()
		return
	}
	silent := p.silent
	p.logged, p.silent = now, 0
	f.mu.Unlock()
	f.log.Error("script failed", slog.String("place", failure.Place), slog.String("function", failure.Function),
		slog.String("error", failure.Message), slog.String("traceback", strings.TrimSpace(failure.Traceback)), slog.Int("unlogged", silent))
}

// recent is the last failure if that was not long ago.
func (f *failures) recent() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == "" || time.Since(f.at) > remembered {
		return ""
	}
	return fmt.Sprintf("%d of %d calls failed, the last at %s: %s", f.failed.Load(), f.calls.Load(), f.at.UTC().Format(time.TimeOnly+"Z"), f.last)
}

// Health tells of scripts that were saved and are broken, and of calls that
// failed.
func (p *scripts) Health(context.Context) error {
	var parts []string
	if why := p.broken.Load(); why != nil {
		parts = append(parts, "what was saved is not in force: "+*why)
	}
	if text := p.failures.recent(); text != "" {
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return nil
	}
	return pluginapi.Degraded(strings.Join(parts, "; "))
}

// Metrics counts calls and failures.
func (p *scripts) Metrics(context.Context) ([]byte, error) {
	var b strings.Builder
	broken := uint64(0)
	if p.broken.Load() != nil {
		broken = 1
	}
	for _, m := range []struct {
		name, kind, help string
		value            uint64
	}{
		{"calls_total", "counter", "Calls of scripts.", p.failures.calls.Load()},
		{"failures_total", "counter", "Calls that scripts could not decide, and timers that failed.", p.failures.failed.Load()},
		{"events_lost_total", "counter", "Events that the broker could not tell because scripts were slow.", p.failures.lost.Load()},
		{"broken", "gauge", "Whether what was saved last is not in force.", broken},
		{"loaded", "gauge", "Scripts that are in force.", uint64(len(p.now.Load().set.Scripts()))},
	} {
		fmt.Fprintf(&b, "# HELP script_%[1]s %[2]s\n# TYPE script_%[1]s %[3]s\nscript_%[1]s %[4]d\n", m.name, m.help, m.kind, m.value)
	}
	return []byte(b.String()), nil
}
