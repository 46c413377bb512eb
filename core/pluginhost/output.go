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

	// tap sees every line, whatever becomes of it; nil: nobody wants to. The
	// line is only valid during the call.
	tap func(line []byte, stream string)

	mu         sync.Mutex // guards the fields below
	parse      allowance
	chatter    allowance
	alarm      allowance
	suppressed int
	tail       [tailLines][]byte // a ring of the last lines
	lines      int               // that were ever written
	crash      []string          // the text of a panic
	crashing   bool              // lines belong to it
}

func newOutput(log *slog.Logger, now func() time.Time) *output {
	return &output{
		log: log, now: now,
		parse:   allowance{perSecond: parsePerSecond, burst: parseBurst, last: now()},
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
	if o.tap != nil {
		o.tap(line, stream)
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
	o.parse.refill(now)
	o.chatter.refill(now)
	o.alarm.refill(now)
	if !o.chatter.left() && !o.alarm.left() || !o.parse.take() {
		o.suppressed++ // unseen: a flood costs little
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
// belongs to one. The caller holds mu. Most lines of a flood end here, so that
// it allocates nothing.
func (o *output) remember(line []byte) {
	kept := line[:min(len(line), tailLineSize)]
	at := &o.tail[o.lines%tailLines]
	*at = append((*at)[:0], kept...)
	o.lines++
	switch {
	case !o.crashing && startsPanic(kept):
		o.crashing = true
		o.crash = nil
	case bytes.HasPrefix(kept, []byte{'{'}):
		o.crashing = false // a record: it lives on
	}
	if o.crashing && len(o.crash) < panicLines {
		o.crash = append(o.crash, clean(string(kept), tailLineSize))
	}
}

// panicStarts are how the runtimes of Go and Python begin their last words.
var panicStarts = [][]byte{
	[]byte("panic: "), []byte("fatal error: "), []byte("SIGQUIT: "), []byte("SIGABRT: "),
	[]byte("Traceback (most recent call last)"),
}

func startsPanic(line []byte) bool {
	return slices.ContainsFunc(panicStarts, func(start []byte) bool { return bytes.HasPrefix(line, start) })
}

// last returns up to n of the last lines.
func (o *output) last(n int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = min(n, o.lines, tailLines)
	out := make([]string, n)
	for i := range out {
		out[i] = clean(string(o.tail[(o.lines-n+i)%tailLines]), tailLineSize)
	}
	return out
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
