package jsonlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/jsonlog"
)

type brokenStringer struct{ s *string }

func (b brokenStringer) String() string { return *b.s }

func TestLine(t *testing.T) {
	cases := []struct {
		name string
		log  func(*slog.Logger)
		want map[string]any
	}{
		{"message", func(l *slog.Logger) { l.Info("hi") }, map[string]any{"@level": "info", "@message": "hi"}},
		{"levels", func(l *slog.Logger) { l.Log(context.Background(), jsonlog.LevelTrace, "x") }, map[string]any{"@level": "trace"}},
		{"string", func(l *slog.Logger) { l.Warn("x", "k", "a\"b\n") }, map[string]any{"@level": "warn", "k": "a\"b\n"}},
		{"numbers", func(l *slog.Logger) { l.Error("x", "i", -3, "u", uint64(7), "f", 1.5) }, map[string]any{"i": -3.0, "u": 7.0, "f": 1.5, "@level": "error"}},
		{"not a number", func(l *slog.Logger) { l.Info("x", "f", math.NaN()) }, map[string]any{"f": "NaN"}},
		{"bool", func(l *slog.Logger) { l.Info("x", "b", true) }, map[string]any{"b": true}},
		{"duration", func(l *slog.Logger) { l.Info("x", "d", 1500*time.Millisecond) }, map[string]any{"d": "1.5s"}},
		{"error", func(l *slog.Logger) { l.Info("x", "err", errors.New("no")) }, map[string]any{"err": "no"}},
		{"struct", func(l *slog.Logger) { l.Info("x", "s", struct{ A int }{1}) }, map[string]any{"s": map[string]any{"A": 1.0}}},
		{"unencodable", func(l *slog.Logger) { l.Info("x", "f", func() {}) }, map[string]any{"@message": "x"}},
		{"panicking value", func(l *slog.Logger) { l.Info("x", "p", brokenStringer{}) }, map[string]any{"p": "!PANIC: runtime error: invalid memory address or nil pointer dereference"}},
		{"group", func(l *slog.Logger) { l.WithGroup("g").With("a", 1).Info("x", slog.Group("h", "b", 2)) }, map[string]any{"g.a": 1.0, "g.h.b": 2.0}},
		{"reserved keys", func(l *slog.Logger) { l.Info("hi", "@level", 9, "@message", 1, "@", 2) }, map[string]any{"@level": "info", "@message": "hi", "level": 9.0, "message": 1.0, "_": 2.0}},
		{"invalid utf-8", func(l *slog.Logger) { l.Info("a\xff") }, map[string]any{"@message": "a\ufffd"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			c.log(slog.New(jsonlog.New(&b, jsonlog.Options{Module: "m", Level: jsonlog.LevelTrace})))
			got := parse(t, b.Bytes())
			if got["@module"] != "m" {
				t.Errorf("@module = %v, want m", got["@module"])
			}
			for k, want := range c.want {
				g, _ := json.Marshal(got[k])
				w, _ := json.Marshal(want)
				if !bytes.Equal(g, w) {
					t.Errorf("%s = %s, want %s", k, g, w)
				}
			}
		})
	}
}

// parse decodes one line and checks what holds for all of them.
func parse(t interface {
	Helper()
	Fatalf(string, ...any)
}, b []byte,
) map[string]any {
	t.Helper()
	if bytes.Count(b, []byte("\n")) != 1 || b[len(b)-1] != '\n' {
		t.Fatalf("not one line: %q", b)
	}
	if len(b) > 64<<10 {
		t.Fatalf("the line has %d bytes", len(b))
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("not JSON: %v: %q", err, b)
	}
	for _, k := range []string{"@level", "@message", "@timestamp"} {
		if _, ok := m[k].(string); !ok {
			t.Fatalf("%s is %T, want a string", k, m[k])
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, m["@timestamp"].(string)); err != nil {
		t.Fatalf("@timestamp: %v", err)
	}
	return m
}

func TestLinesAreBounded(t *testing.T) {
	for _, char := range []string{"é", "x", "\x00", "\xff", "\""} {
		var b bytes.Buffer
		l := slog.New(jsonlog.New(&b, jsonlog.Options{Module: "m"}))
		big := strings.Repeat(char, 1<<20)
		l.With("a", big, "b", big, "c", big).Info(big, "d", big, "e", big, "f", []string{big}, big, big)
		if m := parse(t, b.Bytes()); m["truncated"] != true {
			t.Errorf("%q: truncated = %v, want true", char, m["truncated"])
		}
	}
}

func TestAnythingIsOneValidLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		l := slog.New(jsonlog.New(&b, jsonlog.Options{}))
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		for range rapid.IntRange(0, 3).Draw(t, "groups") {
			l = l.WithGroup(text.Draw(t, "group")).With(text.Draw(t, "key"), text.Draw(t, "value"))
		}
		l.Error(text.Draw(t, "message"), text.Draw(t, "key"), rapid.Float64().Draw(t, "value"))
		parse(t, b.Bytes())
	})
}

func TestLevel(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	l := slog.New(jsonlog.New(&b, jsonlog.Options{Level: &level}))
	l.Debug("no")
	level.Set(jsonlog.ParseLevel("debug"))
	l.Debug("yes")
	if got := parse(t, b.Bytes()); got["@message"] != "yes" {
		t.Errorf("message = %v, want yes", got["@message"])
	}
	for name, want := range map[string]slog.Level{"trace": -8, "debug": -4, "info": 0, "warn": 4, "error": 8, "": 0, "loud": 0} {
		if got := jsonlog.ParseLevel(name); got != want {
			t.Errorf("ParseLevel(%q) = %v, want %v", name, got, want)
		}
	}
}

// TestSlogContract runs the standard library's checks on the flat form, its
// groups put back together.
func TestSlogContract(t *testing.T) {
	var b *bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		b = new(bytes.Buffer)
		return jsonlog.New(b, jsonlog.Options{})
	}, func(t *testing.T) map[string]any {
		flat := parse(t, b.Bytes())
		out := map[string]any{}
		for k, v := range flat {
			switch k {
			case "@level":
				out[slog.LevelKey] = v
			case "@message":
				out[slog.MessageKey] = v
			case "@timestamp":
				// A record without a time still gets one, for the broker wants it.
				if !strings.HasSuffix(t.Name(), "zero-time") {
					out[slog.TimeKey] = v
				}
			default:
				put(out, strings.Split(k, "."), v)
			}
		}
		return out
	})
}

func put(m map[string]any, path []string, v any) {
	for ; len(path) > 1; path = path[1:] {
		sub, ok := m[path[0]].(map[string]any)
		if !ok {
			sub = map[string]any{}
			m[path[0]] = sub
		}
		m = sub
	}
	m[path[0]] = v
}
