package pluginhost

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// A guest is an instance of a plugin that somebody started by hand, such as
// under a debugger, and that told of itself by attach.json in the plugin's
// folder. It takes over from the instance that the broker runs, which stands by
// until the guest is gone: it crashes, goes away, or answers nothing for too
// long. Nobody is in a hurry meanwhile: a person may be looking at it.

const defaultDebugTimeout = 5 * time.Minute

// visits reports whether a candidate is a guest beside an instance of the
// broker's, which can stand by. A store can't.
func (t *tenure) visits(c *candidate) bool {
	return c.worker.facts().guest != "" && t.w.facts().pid != 0 &&
		!keepsMessages(t.w.facts().instance) && !keepsMessages(c.worker.facts().instance)
}

// patience is how many health checks in a row may be missed.
func (t *tenure) patience(fs *facts) int {
	if fs.guest == "" {
		return t.timing.healthMiss
	}
	limit := cmp.Or(t.settings().DebugTimeout, defaultDebugTimeout)
	return max(1, int(limit/t.timing.healthEvery))
}

// leftBy writes down that a guest is gone and the broker's own instance back.
func (t *tenure) leftBy(guest worker, back *facts) {
	t.shunned = guest.facts().guest
	f := guest.autopsy()
	t.tried.own = t.ownFiles()
	t.survived(f)
	t.log.Warn("attached instance of plugin is gone, the one of the broker is back",
		slog.Int("pid", back.pid), slog.String("cause", f.What))
}

// visited reports whether a guest serves.
func (r *record) visited() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running.guest != ""
}

// patient is a policy without deadlines.
func patient(p hook.Policy) hook.Policy {
	p.Timeout, p.BreakerFailures = -1, -1
	return p
}
