package jsonlog

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The bounds of a line. The broker reads lines of up to 64 KiB.
const (
	maxLine  = 60 << 10
	maxValue = 16 << 10
)

// line is a JSON object that is being written, without its end. What does not
// fit is left out, so that the line stays valid JSON.
type line struct {
	buf []byte
	cut bool // something was left out or shortened
}

// attr appends an attribute whose key gets prefix before it.
func (l *line) attr(prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, g := range v.Group() {
			l.attr(prefix, g)
		}
		return
	}
	start := len(l.buf)
	l.key(attrKey(prefix + a.Key))
	l.value(v)
	if len(l.buf) > maxLine {
		l.buf, l.cut = l.buf[:start], true
	}
}

// attrKey keeps an attribute out of the names that begin with "@", which mean
// something to the broker.
func attrKey(key string) string {
	if k := strings.TrimLeft(key, "@"); k != "" {
		return k
	}
	return "_"
}

// raw appends attributes that are encoded already.
func (l *line) raw(b []byte) {
	if len(l.buf)+len(b) > maxLine {
		l.cut = true
		return
	}
	l.buf = append(l.buf, b...)
}

// key appends a comma, the key and a colon.
func (l *line) key(k string) {
	l.buf = append(l.buf, ',')
	l.string(k)
	l.buf = append(l.buf, ':')
}

// string appends a JSON string, shortened until it takes at most maxValue bytes.
func (l *line) string(s string) {
	if len(s) > maxValue {
		s, l.cut = head(s, maxValue), true
	}
	// Marshal of a string can't fail: it replaces what is not UTF-8. It can
	// make six bytes of one, though.
	b, _ := json.Marshal(s)
	if len(b) > maxValue+2 {
		s, l.cut = head(s, maxValue/6), true
		b, _ = json.Marshal(s)
	}
	l.buf = append(l.buf, b...)
}

// head returns the first n bytes of s, or a little less so as not to break a
// character.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end := n
	for end > n-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// value appends the value of an attribute that is no group.
func (l *line) value(v slog.Value) {
	switch v.Kind() {
	case slog.KindString:
		l.string(v.String())
	case slog.KindInt64:
		l.buf = strconv.AppendInt(l.buf, v.Int64(), 10)
	case slog.KindUint64:
		l.buf = strconv.AppendUint(l.buf, v.Uint64(), 10)
	case slog.KindFloat64:
		l.float(v.Float64())
	case slog.KindBool:
		l.buf = strconv.AppendBool(l.buf, v.Bool())
	case slog.KindDuration:
		l.string(v.Duration().String())
	case slog.KindTime:
		l.string(v.Time().Format(time.RFC3339Nano))
	default:
		l.any(v.Any())
	}
}

// float appends a number, or a string for what JSON has no number for.
func (l *line) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		l.string(strconv.FormatFloat(f, 'g', -1, 64))
		return
	}
	l.buf = strconv.AppendFloat(l.buf, f, 'g', -1, 64)
}

// any appends a value of any type: an error as its text, what can be encoded
// as JSON in that form, anything else as fmt prints it.
func (l *line) any(x any) {
	start := len(l.buf)
	defer func() {
		// A nil pointer with a value method panics in Error or String, and a
		// log line must not end the plugin.
		if r := recover(); r != nil {
			l.buf = l.buf[:start]
			l.string(fmt.Sprintf("!PANIC: %v", r))
		}
	}()
	switch x := x.(type) {
	case error:
		l.string(x.Error())
		return
	case json.Marshaler:
	case fmt.Stringer:
		l.string(x.String())
		return
	}
	b, err := json.Marshal(x)
	if err != nil {
		l.string(fmt.Sprintf("%+v", x))
		return
	}
	if len(b) > maxValue {
		l.string(string(b))
		return
	}
	l.buf = append(l.buf, b...)
}
