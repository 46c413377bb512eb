package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
)

// logFormat is the format of the log, which may change while it is written. It
// is text unless it is set.
type logFormat struct{ json atomic.Bool }

// set puts a format of the configuration in force; "" is text.
func (f *logFormat) set(name string) { f.json.Store(name == "json") }

// handler writes to w in the format that is in force.
func (f *logFormat) handler(w io.Writer, o *slog.HandlerOptions) slog.Handler {
	return eitherFormat{f, slog.NewTextHandler(w, o), slog.NewJSONHandler(w, o)}
}

// eitherFormat writes in one of two formats.
type eitherFormat struct {
	format     *logFormat
	text, json slog.Handler
}

// Enabled implements slog.Handler.
func (h eitherFormat) Enabled(ctx context.Context, l slog.Level) bool { return h.text.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h eitherFormat) Handle(ctx context.Context, r slog.Record) error {
	if h.format.json.Load() {
		return h.json.Handle(ctx, r)
	}
	return h.text.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h eitherFormat) WithAttrs(attrs []slog.Attr) slog.Handler {
	return eitherFormat{h.format, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h eitherFormat) WithGroup(name string) slog.Handler {
	return eitherFormat{h.format, h.text.WithGroup(name), h.json.WithGroup(name)}
}
