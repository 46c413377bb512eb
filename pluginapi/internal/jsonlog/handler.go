// Package jsonlog writes log records as the JSON lines that the broker expects
// on a plugin's standard error.
//
// A line is one object: "@level", "@message", "@timestamp" and "@module" are
// strings whatever is logged, every other key is an attribute, with the names
// of its groups before it ("request.id"). A line is one write and is bounded,
// so that lines of several goroutines never mix and no record floods the
// broker.
package jsonlog

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// LevelTrace is below [slog.LevelDebug].
const LevelTrace = slog.LevelDebug - 4

// Options are the settings of a [Handler].
type Options struct {
	// Module is the "@module" of every line; left out if empty.
	Module string
	// Level is the lowest level that is written; nil means info. It may change
	// while the handler is in use.
	Level slog.Leveler
}

// Handler is a [slog.Handler]. It may be used by many goroutines.
type Handler struct {
	out    *output
	module string
	level  slog.Leveler

	prefix string // the open groups, each with a dot behind it
	fixed  []byte // the attributes of WithAttrs, encoded
}

// output is shared by a handler and those made from it.
type output struct {
	mu sync.Mutex // one line at a time
	w  io.Writer
}

// New returns a handler that writes to w, one Write per record.
func New(w io.Writer, o Options) *Handler {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	return &Handler{out: &output{w: w}, module: o.Module, level: o.Level}
}

// Enabled reports whether a record of that level is written.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithAttrs returns a handler that adds attrs to every record.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	c := *h
	l := line{buf: slices.Clip(h.fixed)}
	for _, a := range attrs {
		l.attr(h.prefix, a)
	}
	c.fixed = l.buf
	return &c
}

// WithGroup returns a handler that puts name before all later attributes.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	return &c
}

// Handle writes one record.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	t := r.Time
	if t.IsZero() {
		t = time.Now()
	}
	l := line{buf: make([]byte, 0, 256)}
	l.buf = append(l.buf, `{"@level":"`...)
	l.buf = append(l.buf, levelName(r.Level)...)
	l.buf = append(l.buf, `","@message":`...)
	l.string(r.Message)
	l.buf = append(l.buf, `,"@timestamp":"`...)
	l.buf = t.AppendFormat(l.buf, time.RFC3339Nano)
	l.buf = append(l.buf, '"')
	if h.module != "" {
		l.key("@module")
		l.string(h.module)
	}
	l.raw(h.fixed)
	r.Attrs(func(a slog.Attr) bool {
		l.attr(h.prefix, a)
		return true
	})
	if l.cut {
		l.buf = append(l.buf, `,"truncated":true`...)
	}
	l.buf = append(l.buf, "}\n"...)

	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(l.buf)
	return err
}

// levelName is the name of the level at or below l.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	default:
		return "error"
	}
}

// ParseLevel reads a level as the broker names it; an unknown one is info.
func ParseLevel(name string) slog.Level {
	switch name {
	case "trace":
		return LevelTrace
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}
