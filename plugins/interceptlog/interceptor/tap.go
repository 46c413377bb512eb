package interceptor

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// tap writes events to a log: a file of its own, or that of the broker. It may
// be used by many goroutines.
type tap struct {
	fields []fieldFunc
	now    func() time.Time

	mu      sync.Mutex // guards the fields below
	handler slog.Handler
	sink    *sink // nil for the broker's log
	limit   rateLimit
	counts  tapCounts
	problem error // why the last line could not be written
	attrs   []slog.Attr
	closed  bool
}

// tapCounts are the numbers of a tap.
type tapCounts struct {
	written, suppressed, failed, lost uint64
}

// newTap opens the log.
func newTap(c *LogConfig, dataDir string, log *slog.Logger, now func() time.Time) (*tap, error) {
	t := &tap{fields: c.fieldsFor(), now: now, handler: log.Handler()}
	if c.File == "" {
		t.limit = rateLimit{perSecond: c.Rate}
		return t, nil
	}
	path := c.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(dataDir, path)
	}
	sink, err := openSink(path, c.MaxBytes, c.Keep)
	if err != nil {
		return nil, pluginapi.ConfigError{Path: "/log/file", Message: "cannot be written: " + err.Error()}
	}
	t.sink = sink
	t.handler = slog.NewJSONHandler(sink, &slog.HandlerOptions{ReplaceAttr: fileAttr})
	return t, nil
}

// fileAttr gives a line of a file its form: the time of the event, and the
// name of the event in place of level and message.
func fileAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.LevelKey:
		return slog.Attr{}
	case slog.MessageKey:
		a.Key = "event"
	}
	return a
}

// observe logs events. lost is how many the broker could not tell. The error
// says that the log cannot be written, once.
func (t *tap) observe(ctx context.Context, events []pluginapi.Event, lost uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	before := t.problem
	if lost > 0 {
		t.counts.lost += lost
		t.write(ctx, slog.LevelWarn, "events_lost", t.now(), []slog.Attr{slog.Uint64("count", lost)})
	}
	for i := range events {
		t.event(ctx, &events[i])
	}
	if t.sink != nil {
		if err := t.sink.flush(); err != nil {
			t.counts.failed++
			t.problem = err
		}
	}
	if before != nil {
		return nil // it has been said
	}
	return t.problem
}

// event logs one event. The caller holds mu.
func (t *tap) event(ctx context.Context, e *pluginapi.Event) {
	if t.sink == nil {
		allowed, left := t.limit.allow(t.now())
		if left > 0 {
			t.write(ctx, slog.LevelWarn, "events_not_logged", t.now(), []slog.Attr{slog.Uint64("count", left)})
		}
		if !allowed {
			t.counts.suppressed++
			return
		}
	}
	t.attrs = t.attrs[:0]
	for _, f := range t.fields {
		if a := f(e); a.Key != "" {
			t.attrs = append(t.attrs, a)
		}
	}
	name, ok := eventNames[e.Kind]
	if !ok {
		name = "unknown"
	}
	t.write(ctx, slog.LevelInfo, name, e.Time, t.attrs)
}

// write writes one line. The caller holds mu.
func (t *tap) write(ctx context.Context, level slog.Level, name string, at time.Time, attrs []slog.Attr) {
	if !t.handler.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(at, level, name, 0)
	r.AddAttrs(attrs...)
	if err := t.handler.Handle(ctx, r); err != nil {
		t.counts.failed++
		t.problem = err
		return
	}
	t.counts.written++
	t.problem = nil
}

// state returns the numbers, and why the last line could not be written.
func (t *tap) state() (tapCounts, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts, t.problem
}

// close writes what is left. Later events are ignored.
func (t *tap) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.sink == nil {
		t.closed = true
		return nil
	}
	t.closed = true
	return t.sink.close()
}

// rateLimit allows so many lines in each second.
type rateLimit struct {
	perSecond int
	second    int64
	used      int
	left      uint64 // not allowed in this second
}

// allow reports whether a line may be written, and how many were not since it
// was last asked in another second.
func (l *rateLimit) allow(now time.Time) (ok bool, left uint64) {
	if s := now.Unix(); s != l.second {
		left = l.left
		l.second, l.used, l.left = s, 0, 0
	}
	if l.used >= l.perSecond {
		l.left++
		return false, left
	}
	l.used++
	return true, left
}
