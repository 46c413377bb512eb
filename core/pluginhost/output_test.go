package pluginhost

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// However a stream is cut into writes, its lines are the same.
func TestLineWriterCutsAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.SampledFrom([]byte("ab\r\n\n"))).Draw(t, "text")
		var got []string
		w := &lineWriter{emit: func(line []byte, _ int) { got = append(got, string(line)) }}
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			_, _ = w.Write(rest[:n])
			rest = rest[n:]
		}
		w.flush()
		var want []string
		for line := range strings.Lines(string(text)) {
			want = append(want, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("lines %q, want %q", got, want)
		}
	})
}

func TestLineWriterBoundsLines(t *testing.T) {
	for _, piece := range []int{1 << 10, 10 << 20} {
		var lengths, cuts []int
		w := &lineWriter{emit: func(line []byte, cut int) {
			lengths, cuts = append(lengths, len(line)), append(cuts, cut)
		}}
		text := bytes.Repeat([]byte("x"), 3<<20)
		text = append(append(text, '\n'), "next\n"...)
		for chunk := range slices.Chunk(text, piece) {
			_, _ = w.Write(chunk)
		}
		w.flush()
		if !slices.Equal(lengths, []int{maxLine, 4}) || !slices.Equal(cuts, []int{3<<20 - maxLine, 0}) {
			t.Errorf("pieces of %d: lengths %v, cut %v", piece, lengths, cuts)
		}
		if cap(w.part) > 4*maxLine {
			t.Errorf("it keeps %d bytes", cap(w.part))
		}
	}
}

func TestParseLine(t *testing.T) {
	tests := []struct {
		name, line string
		want       string // level, message, attributes
	}{
		{"hclog", `{"@level":"warn","@message":"low","@module":"auth","@timestamp":"2026-01-02T15:04:05Z","n":3}`, `WARN low [module=auth n=3]`},
		{"slog", `{"time":"x","level":"ERROR","msg":"bad","err":"no"}`, `ERROR bad [err=no]`},
		{"zap", `{"level":"debug","ts":1.5,"caller":"a.go:1","msg":"m"}`, `DEBUG m [caller=a.go:1]`},
		{"pino", `{"level":50,"time":1,"msg":"boom","pid":4}`, `ERROR boom [pid=4]`},
		{"trace", `{"@level":"trace","@message":"x"}`, `DEBUG-4 x []`},
		{"no level", `{"message":"x","on":true,"f":1.5,"none":null}`, `INFO x [f=1.5 none=null on=true]`},
		{"numeric message", `{"@message": 1}`, `INFO 1 []`},
		{"nested", `{"msg":"x","v":{"a":[1]}}`, `INFO x [v={"a":[1]}]`},
		{"names that would deceive", `{"msg":"x","plugin":"other","source":"y"}`, `INFO x [plugin_=other source_=y]`},
		{"no record", `{"a":1}`, `INFO {"a":1} []`},
		{"broken", `{"msg":`, `INFO {"msg": []`},
		{"prefix", `[WARN] something`, `WARN something []`},
		{"hclog text", `2026-01-02T15:04:05.000Z [ERROR] auth: broken`, `ERROR 2026-01-02T15:04:05.000Z [ERROR] auth: broken []`},
		{"slog text", `time=2026-01-02T15:04:05 level=WARN msg="x y"`, `WARN time=2026-01-02T15:04:05 level=WARN msg="x y" []`},
		{"not a level", `[main] starts`, `INFO [main] starts []`},
		{"plain", `hello`, `INFO hello []`},
		{"control characters", "a\x1b[31mred\x00\xff", `INFO a [31mred ` + "\uFFFD []"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := parseLine([]byte(tt.line))
			if diff := cmp.Diff(tt.want, fmt.Sprintf("%v %s %v", r.level, r.message, r.attrs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseLineIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"msg":"` + strings.Repeat("m", 20<<10) + `"`)
	for i := range 100 {
		fmt.Fprintf(&b, `,"k%d":"%s"`, i, strings.Repeat("v", 10<<10))
	}
	b.WriteString("}")
	r := parseLine([]byte(b.String()))
	size := len(r.message)
	for _, a := range r.attrs {
		size += len(a.Key) + len(a.Value.String())
	}
	if len(r.attrs) > maxAttrs || size > maxMessage+maxAttrs*(maxAttrValue+64)+64 {
		t.Errorf("%d attributes, %d bytes", len(r.attrs), size)
	}
}

// Nothing that a plugin writes ends the host, and all of it can be logged.
func FuzzParseLine(f *testing.F) {
	for _, line := range []string{
		`{"@message": 1}`, `{"@level":7,"@message":"x","@timestamp":{}}`, `[INFO] x`, `time=1 level=WARN`,
		`panic: boom`, `{"msg":"\ud800"}`, "\xff", `{`, `{"":""}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r := parseLine(line)
		texts := []string{r.message}
		for _, a := range r.attrs {
			texts = append(texts, a.Key, a.Value.String())
			if a.Key == "" || a.Key == "plugin" {
				t.Errorf("attribute %q", a.Key)
			}
		}
		for _, s := range texts {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\n\x1b") {
				t.Errorf("unfit for a log: %q", s)
			}
		}
	})
}

// pen makes an output with a clock of its own.
func pen() (o *output, log *bytes.Buffer, pass func(time.Duration)) {
	now := time.Unix(0, 0)
	log = new(bytes.Buffer)
	o = newOutput(slog.New(slog.NewTextHandler(log, nil)), func() time.Time { return now })
	return o, log, func(d time.Duration) { now = now.Add(d) }
}

func TestOutputLimitsItsRate(t *testing.T) {
	o, log, pass := pen()
	w := o.stderr()
	for i := range 4000 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	if n := strings.Count(log.String(), "msg="); n != chatterBurst {
		t.Errorf("%d lines at once, want %d", n, chatterBurst)
	}
	// Chatter does not hide an error.
	fmt.Fprintf(w, "[ERROR] it burns\n")
	if !strings.Contains(log.String(), "it burns") || !strings.Contains(log.String(), "lines=3000") {
		t.Errorf("the log ends with %q", log.String()[log.Len()-200:])
	}
	for range 5000 {
		fmt.Fprintf(w, "[ERROR] it burns\n")
	}
	log.Reset()
	pass(time.Second)
	for range 5000 {
		fmt.Fprintf(w, "more\n")
	}
	if n := strings.Count(log.String(), "msg=more"); n != chatterPerSecond {
		t.Errorf("%d lines in a second, want %d", n, chatterPerSecond)
	}
	log.Reset()
	o.close()
	if !strings.Contains(log.String(), "suppressed") {
		t.Error("the last suppressed lines are not told")
	}
}

// What the log's level hides takes nothing from the allowance.
func TestOutputBelowTheLevelIsFree(t *testing.T) {
	o, log, _ := pen()
	w := o.stderr()
	for range parseBurst - 1 {
		fmt.Fprintf(w, "[DEBUG] x\n")
	}
	fmt.Fprintf(w, "shown\n")
	if log.String() != "time=1970-01-01T00:00:00.000Z level=INFO msg=shown\n" && strings.Count(log.String(), "\n") != 1 {
		t.Errorf("log is %q", log)
	}
}

func TestOutputKeepsTheTail(t *testing.T) {
	o, _, _ := pen()
	w := o.stderr()
	for i := range 120 {
		fmt.Fprintf(w, "line %d %s\n\n", i, strings.Repeat("x", 5000))
	}
	tail := o.last(100)
	if len(tail) != tailLines || !strings.HasPrefix(tail[0], "line 70 ") || !strings.HasPrefix(tail[49], "line 119 ") {
		t.Errorf("tail of %d lines from %.10q", len(tail), tail[0])
	}
	for _, line := range tail {
		if len(line) > tailLineSize+10 {
			t.Errorf("a line of %d bytes is kept", len(line))
		}
	}
	if two := o.last(2); !strings.HasPrefix(two[0], "line 118 ") {
		t.Errorf("last two are %.10q", two)
	}
}

func TestOutputKeepsThePanic(t *testing.T) {
	tests := []struct{ name, text, headline string }{
		{"Go", "starting\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1\n", "panic: boom"},
		{"Go runtime", "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1:\n", "fatal error: all goroutines are asleep - deadlock!"},
		{"Python", "Traceback (most recent call last):\n  File \"x.py\", line 1\n    x()\nValueError: no\n", "ValueError: no"},
		{"none", "hello\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, log, _ := pen()
			_, _ = o.stderr().Write([]byte(tt.text))
			headline, text := o.panicText()
			if headline != tt.headline {
				t.Errorf("headline is %q", headline)
			}
			if tt.headline == "" {
				return
			}
			if !strings.Contains(text, headline) || !strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("text is %q, log %q", text, log)
			}
		})
	}
}

// A plugin that prints "panic:" and lives on logs at its own levels again.
func TestOutputAfterAPanicThatWasNone(t *testing.T) {
	o, log, _ := pen()
	_, _ = o.stderr().Write([]byte("panic: not really\n{\"level\":\"info\",\"msg\":\"alive\"}\n"))
	if !strings.Contains(log.String(), "level=INFO msg=alive") {
		t.Errorf("log is %q", log)
	}
}

func TestHandshake(t *testing.T) {
	tests := []struct {
		line    string
		found   bool
		problem string // part of it
	}{
		{"1|1|unix|/run/p/1/plugin1|grpc|", true, ""},
		{"1|1|unix|/run/p/1/plugin1|grpc|cert|true\r", true, ""},
		{"1|1|unix|/run/p/1/plugin1|grpc", true, ""},
		{"2|1|unix|/x|grpc", true, "core protocol 2"},
		{"1|7|unix|/x|grpc", true, "plugin protocol version 7"},
		{"1|99999999999999999999|unix|/x|grpc", true, "plugin protocol version -1"},
		{"1|1|tcp|127.0.0.1:1234|grpc", true, "tcp:127.0.0.1:1234"},
		{"1|1|unix|/x|netrpc", true, `"netrpc"`},
		{"1|1|unix|/x", true, `""`},
		{"1|1|unix|", false, ""},
		{"a|1|unix|/x|grpc", false, ""},
		{"hello", false, ""},
		{"", false, ""},
	}
	for _, tt := range tests {
		h := newHandshake(&lineWriter{emit: func([]byte, int) {}})
		if got := h.accept([]byte(tt.line)); got != tt.found {
			t.Errorf("%q accepted: %v", tt.line, got)
		}
		if hello, found, _ := h.seen(); found {
			what, do := hello.problem("unix")
			if tt.problem == "" && what != "" || !strings.Contains(what, tt.problem) || (what == "") != (do == "") {
				t.Errorf("%q: %q, %q", tt.line, what, do)
			}
		}
	}
}

// go-plugin sees the handshake and nothing else, whatever surrounds it.
func TestHandshakeHidesNoise(t *testing.T) {
	var noise []string
	h := newHandshake(&lineWriter{emit: func(line []byte, _ int) { noise = append(noise, string(line)) }})
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.scan(strings.NewReader("hello\n1|1|unix|/x|grpc|\nmore\n1|1|unix|/y|grpc|\nend"))
	}()
	var got bytes.Buffer
	if _, err := got.ReadFrom(h.pipe); err != nil {
		t.Fatal(err)
	}
	<-done
	if got.String() != "1|1|unix|/x|grpc|\n" {
		t.Errorf("go-plugin reads %q", got.String())
	}
	if want := []string{"hello", "more", "1|1|unix|/y|grpc|", "end"}; !slices.Equal(noise, want) {
		t.Errorf("noise is %q", noise)
	}
	if _, _, first := h.seen(); !slices.Equal(first, []string{"hello"}) {
		t.Errorf("before it came %q", first)
	}
}

// A plugin that floods its log costs the host next to nothing.
func BenchmarkOutputFlood(b *testing.B) {
	o, _, _ := pen()
	w := o.stderr()
	line := []byte(strings.Repeat("0123456789abcde ", 64) + "\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = w.Write(line)
	}
}
