package validator

import (
	"context"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// How many refusals are logged: so many at once, and then one for each
// interval. The others are counted, and the next line that is written says how
// many they were.
const (
	refusalBurst    = 20
	refusalInterval = time.Second
)

// maxShown bounds what a client can put into a line of the log, in bytes: both
// of its names may have 65535.
const maxShown = 128

// refusals writes a line for each client that is turned away, as long as they
// are few: who may be refused without limit must not write a log without
// limit.
type refusals struct {
	log *slog.Logger

	mu         sync.Mutex // guards the fields below
	tokens     int
	refilled   time.Time
	suppressed uint64
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, tokens: refusalBurst}
}

// refused logs a refusal. The password is no part of the line.
func (r *refusals) refused(ctx context.Context, c *pluginapi.Connect, ru ruling) {
	suppressed, ok := r.take(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("client", shown(c.ClientID)),
		slog.String("peer", c.PeerAddress),
		slog.String("reason", ru.why),
		slog.String("code", ru.decision.Code.String()),
	}
	if c.HasUsername {
		attrs = append(attrs, slog.String("user", shown(c.Username)))
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("not_logged_before", suppressed))
	}
	r.log.LogAttrs(ctx, slog.LevelWarn, "connection refused", attrs...)
}

// take reports whether a line may be written now, and if so how many were not
// since the last one.
func (r *refusals) take(now time.Time) (suppressed uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := int(min(now.Sub(r.refilled)/refusalInterval, refusalBurst)); n > 0 {
		r.tokens = min(r.tokens+n, refusalBurst)
		r.refilled = now
	}
	if r.tokens == 0 {
		r.suppressed++
		return 0, false
	}
	r.tokens--
	suppressed, r.suppressed = r.suppressed, 0
	return suppressed, true
}

// shown shortens a name that a client chose.
func shown(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
