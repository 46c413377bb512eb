package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// newLogger returns a logger and what changes its level and format.
func newLogger(w io.Writer, format, level string) (*slog.Logger, *logLevel) {
	l := new(logLevel)
	l.configure(level)
	o := &slog.HandlerOptions{Level: &l.inForce}
	l.format.set(format)
	return slog.New(l.format.handler(w, o)), l
}

// logLevel is the level of the log: what the configuration says, or what
// somebody has put in its place for a while. It implements admin.Log.
type logLevel struct {
	inForce slog.LevelVar
	format  logFormat

	mu         sync.Mutex // guards the fields below
	configured slog.Level
	until      time.Time   // zero: nothing is due
	back       *time.Timer // nil: nothing is due
}

// configure puts the configuration's level in force; "" is info.
func (l *logLevel) configure(level string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.configured.UnmarshalText([]byte(level)) != nil {
		l.configured = slog.LevelInfo
	}
	l.restore()
}

// restore puts the configured level in force. The caller holds mu.
func (l *logLevel) restore() {
	if l.back != nil {
		l.back.Stop()
	}
	l.back, l.until = nil, time.Time{}
	l.inForce.Set(l.configured)
}

// stop ends what is due.
func (l *logLevel) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restore()
}

func (l *logLevel) current() slog.Level { return l.inForce.Level() }

// LogLevel implements admin.Log.
func (l *logLevel) LogLevel() *adminv1.LogLevel {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := &adminv1.LogLevel{Level: levelName(l.current()), Configured: levelName(l.configured)}
	if !l.until.IsZero() {
		out.UntilUnixNanos = l.until.UnixNano()
	}
	return out
}

func levelName(l slog.Level) string { return strings.ToLower(l.String()) }

// SetLogLevel implements admin.Log.
func (l *logLevel) SetLogLevel(level string, lasts time.Duration) error {
	var to slog.Level
	switch level {
	case "":
		l.stop()
		return nil
	case "debug", "info", "warn", "error":
		if err := to.UnmarshalText([]byte(level)); err != nil {
			return err
		}
	default:
		return fmt.Errorf("there is no level %q: it is debug, info, warn or error", level)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restore()
	l.inForce.Set(to)
	if lasts > 0 {
		l.until = time.Now().Add(lasts)
		var own *time.Timer
		own = time.AfterFunc(lasts, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.back == own { // nobody has changed it since
				l.restore()
			}
		})
		l.back = own
	}
	return nil
}
