package store

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What pebble tries again many times a second is not logged as often.
func TestComplaintsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := &pebbleLogger{log: slog.New(slog.NewTextHandler(&out, nil)), fatal: new(atomic.Pointer[error])}
		for range 1000 {
			l.Errorf("flush: %s", "no space left on device")
			time.Sleep(25 * time.Millisecond)
		}
		lines := strings.Count(out.String(), "no space left on device")
		if lines < 25 || lines > 50 {
			t.Errorf("%d lines in 25 s, want 20 and one a second", lines)
		}
		if !strings.Contains(out.String(), "not_logged_before=39") {
			t.Errorf("what was left out is not counted:\n%s", &out)
		}
	})
}
