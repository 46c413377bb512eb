package pluginhost

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tailLines    = 50      // last lines kept for a person
	tailLineSize = 1 << 10 // bytes kept of each
	panicLines   = 200     // lines kept of a panic
)

// output takes what one plugin process prints and brings it into the broker's
// log: bounded in line length and rate, whatever the plugin writes. It also
// remembers the last lines and the text of a panic. Its methods may be called
// from many goroutines.
type output struct {
	log *slog.Logger // carries the attribute plugin
	now func() time.Time

	mu         sync.Mutex // guards the fields below
	chatter    allowance
	alarm      allowance
	suppressed int
	tail       []string
	crash      []string // the text of a panic
	crashing   bool     // lines belong to it
}

func newOutput(log *slog.Logger, now func() time.Time) *output {
	return &output{
		log: log, now: now,
		chatter: allowance{perSecond: chatterPerSecond, burst: chatterBurst, last: now()},
		alarm:   allowance{perSecond: alarmPerSecond, burst: alarmBurst, last: now()},
	}
}

// stderr returns a writer for the standard error of the process. Each stream
// needs its own.
func (o *output) stderr() *lineWriter {
	return &lineWriter{emit: func(line []byte, cut int) { o.line(line, cut, "") }}
}

// stdout returns a writer for anything else that the process prints.
func (o *output) stdout() *lineWriter {
	return &lineWriter{emit: func(line []byte, cut int) { o.line(line, cut, "stdout") }}
}

// line logs one line. stream is "" for standard error.
func (o *output) line(line []byte, cut int, stream string) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	r, lost, ok := o.admit(line)
	if lost > 0 {
		o.log.Warn("output of plugin suppressed", slog.Int("lines", lost))
	}
	if !ok {
		return
	}
	if stream != "" {
		r.attrs = append(r.attrs, slog.String("stream", stream))
	}
	if cut > 0 {
		r.attrs = append(r.attrs, slog.Int("cut_bytes", cut))
	}
	o.log.LogAttrs(context.Background(), r.level, r.message, r.attrs...) //nolint:sloglint // the message is the plugin's
}

// admit remembers a line and decides whether it is logged. lost counts the
// lines that were suppressed before it.
func (o *output) admit(line []byte) (r logRecord, lost int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remember(line)
	now := o.now()
	o.chatter.refill(now)
	o.alarm.refill(now)
	if !o.chatter.left() && !o.alarm.left() {
		o.suppressed++ // not worth parsing: a flood costs little
		return logRecord{}, 0, false
	}
	r = parseLine(line)
	if o.crashing {
		r.level = slog.LevelError
	}
	if !o.log.Enabled(context.Background(), r.level) {
		return logRecord{}, 0, false
	}
	bucket := &o.chatter
	if r.level >= slog.LevelWarn {
		bucket = &o.alarm
	}
	if !bucket.take() {
		o.suppressed++
		return logRecord{}, 0, false
	}
	lost, o.suppressed = o.suppressed, 0
	return r, lost, true
}

// remember keeps a line for the tail, and for the text of a panic if it
// belongs to one. The caller holds mu.
func (o *output) remember(line []byte) {
	text := clean(string(line[:min(len(line), tailLineSize)]), tailLineSize)
	if len(o.tail) == tailLines {
		copy(o.tail, o.tail[1:])
		o.tail = o.tail[:tailLines-1]
	}
	o.tail = append(o.tail, text)
	switch {
	case startsPanic(text) && !o.crashing:
		o.crashing = true
		o.crash = nil
	case strings.HasPrefix(text, "{"):
		o.crashing = false // a record: it lives on
	}
	if o.crashing && len(o.crash) < panicLines {
		o.crash = append(o.crash, text)
	}
}

// startsPanic knows how the runtimes of Go and Python begin their last words.
func startsPanic(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") ||
		strings.HasPrefix(line, "SIGQUIT: ") || strings.HasPrefix(line, "SIGABRT: ") ||
		strings.HasPrefix(line, "Traceback (most recent call last)")
}

// last returns up to n of the last lines.
func (o *output) last(n int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.tail[max(0, len(o.tail)-n):])
}

// panicText returns the panic's headline and whole text, "" if there is none.
func (o *output) panicText() (headline, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.crash) == 0 {
		return "", ""
	}
	headline = o.crash[0]
	if strings.HasPrefix(headline, "Traceback") {
		// Python names the exception last, at the start of a line.
		for _, line := range slices.Backward(o.crash) {
			if line != "" && line[0] != ' ' {
				headline = line
				break
			}
		}
	}
	return headline, strings.Join(o.crash, "\n")
}

// close tells of what was suppressed last.
func (o *output) close() {
	o.mu.Lock()
	lost := o.suppressed
	o.suppressed = 0
	o.mu.Unlock()
	if lost > 0 {
		o.log.Warn("output of plugin suppressed", slog.Int("lines", lost))
	}
}
