package pluginhost

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	maxAttrs     = 32      // of one record; the rest is left out
	maxAttrValue = 4 << 10 // bytes
	maxMessage   = 8 << 10 // bytes
)

// logRecord is one line of a plugin's output as the broker logs it.
type logRecord struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

// Keys under which loggers write what every record has: hclog and the SDK,
// slog, zap, zerolog, logrus, pino, bunyan, Python's logging.
var (
	levelKeys   = []string{"@level", "level", "lvl", "severity", "levelname"}
	messageKeys = []string{"@message", "msg", "message"}
	timeKeys    = []string{"@timestamp", "time", "ts", "timestamp", "asctime"}
)

// parseLine understands a line of any of the usual loggers. Nothing that a
// plugin writes makes it fail: what it does not understand is the text of an
// info record.
func parseLine(line []byte) logRecord {
	if len(line) > 0 && line[0] == '{' {
		if r, ok := parseJSON(line); ok {
			return r
		}
	}
	return parseText(line)
}

// parseJSON reads a JSON object that has a level or a message. It takes values
// of any type everywhere: a numeric "@message" ends go-plugin's own host.
func parseJSON(line []byte) (logRecord, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil {
		return logRecord{}, false
	}
	level, hasLevel := take(fields, levelKeys)
	message, hasMessage := take(fields, messageKeys)
	if !hasLevel && !hasMessage {
		return logRecord{}, false
	}
	take(fields, timeKeys)
	r := logRecord{level: slog.LevelInfo, message: clean(message.text, maxMessage)}
	if l, ok := parseLevel(level.text); ok {
		r.level = l
	}
	names := slices.Sorted(maps.Keys(fields))
	for _, name := range names[:min(len(names), maxAttrs)] {
		r.attrs = append(r.attrs, attribute(name, scalarOf(fields[name])))
	}
	return r, true
}

// take removes the first of the keys that is there.
func take(fields map[string]json.RawMessage, keys []string) (scalar, bool) {
	for _, key := range keys {
		if raw, ok := fields[key]; ok {
			delete(fields, key)
			return scalarOf(raw), true
		}
	}
	return scalar{}, false
}

// scalar is a JSON value as text.
type scalar struct {
	text   string
	quoted bool // it was a string
}

func scalarOf(raw json.RawMessage) scalar {
	var s string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return scalar{s, true}
	}
	return scalar{text: string(raw)}
}

// attribute makes an attribute of the broker's log. Names that the broker's
// own records use get an underscore, so that no plugin can pass for another.
func attribute(name string, v scalar) slog.Attr {
	name = clean(strings.TrimPrefix(name, "@"), 64)
	switch name {
	case "", "plugin", slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey:
		name += "_"
	}
	if !v.quoted {
		if n, err := strconv.ParseInt(v.text, 10, 64); err == nil {
			return slog.Int64(name, n)
		}
		if f, err := strconv.ParseFloat(v.text, 64); err == nil {
			return slog.Float64(name, f)
		}
		if b, err := strconv.ParseBool(v.text); err == nil {
			return slog.Bool(name, b)
		}
	}
	return slog.String(name, clean(v.text, maxAttrValue))
}

// parseText finds the level in a line of text: "[WARN] ...", hclog's
// "2026-01-02T15:04:05.000Z [WARN]  ...", slog's "time=... level=WARN ...".
func parseText(line []byte) logRecord {
	r := logRecord{level: slog.LevelInfo, message: clean(string(line), maxMessage)}
	head := line[:min(len(line), 64)]
	if start := bytes.IndexByte(head, '['); start >= 0 {
		if n := bytes.IndexByte(head[start:], ']'); n > 1 {
			if l, ok := parseLevel(string(head[start+1 : start+n])); ok {
				r.level = l
				if start == 0 {
					r.message = strings.TrimSpace(clean(string(line[n+1:]), maxMessage))
				}
				return r
			}
		}
	}
	if _, rest, ok := bytes.Cut(head, []byte("level=")); ok {
		word, _, _ := bytes.Cut(rest, []byte{' '})
		if l, ok := parseLevel(string(word)); ok {
			r.level = l
		}
	}
	return r
}

// parseLevel knows the names of levels, and the numbers of pino and bunyan.
func parseLevel(s string) (slog.Level, bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "trace", "10":
		return slog.LevelDebug - 4, true
	case "debug", "20":
		return slog.LevelDebug, true
	case "info", "information", "notice", "30":
		return slog.LevelInfo, true
	case "warn", "warning", "40":
		return slog.LevelWarn, true
	case "error", "err", "fatal", "critical", "panic", "dpanic", "50", "60":
		return slog.LevelError, true
	}
	return 0, false
}

// clean bounds a text from a plugin and makes it fit for a log: valid UTF-8
// without control characters.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
