package script_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// A script that takes too much is ended, and has decided nothing, whichever way
// it has found to take it.
func TestBombs(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"repeated text", `x = "a" * (1 << 29)`, "limits.memory"},
		{"repeated text, the other way round", `x = (1 << 29) * "a"`, "limits.memory"},
		{"repeated bytes", `x = b"ab" * (1 << 29)`, "limits.memory"},
		{"repeated list", `x = [0] * (1 << 28)`, "limits.memory"},
		{"repeated tuple", `x = (0,) * (1 << 28)`, "limits.memory"},
		{"a huge count", `x = "a" * (1 << 70)`, "limits.memory"},
		{"repeated in place", "x = \"ab\"\n  x *= 1 << 28", "limits.memory"},
		{"doubled text", "s = \"a\"\n  for i in range(60): s = s + s", "limits.memory"},
		{"doubled text in place", "s = \"a\"\n  for i in range(60): s += s", "limits.memory"},
		{"doubled list", "s = [1]\n  for i in range(60): s += s", "limits.memory"},
		{"doubled list by extend", "s = [1]\n  for i in range(60): s.extend(s)", "limits.memory"},
		{"doubled by getattr", "s = [1]\n  for i in range(60): getattr(s, \"extend\")(s)", "limits.memory"},
		{"doubled in a dict", "d = {\"s\": \"a\"}\n  for i in range(60): d[\"s\"] += d[\"s\"]", "limits.memory"},
		{"doubled by format", "s = \"a\"\n  for i in range(60): s = \"%s%s\" % (s, s)", "limits.memory"},
		{"doubled by a format of its own", "s = \"a\"\n  for i in range(60): s = \"{}{}\".format(s, s)", "limits.memory"},
		{"doubled by named format", "s = \"a\"\n  for i in range(60): s = \"{x}{x}\".format(x=s)", "limits.memory"},
		{"joined", "s = \"a\" * 1000000\n  x = s.join([s] * 1000)", "limits.memory"},
		{"replaced", "s = \"a\" * 1000000\n  x = s.replace(\"a\", s)", "limits.memory"},
		{"slices", "s = [0] * 500000\n  x = [s[:] for i in range(1000)]", "limits.memory"},
		{"kept garbage", "s = \"a\" * 1000000\n  x = []\n  for i in range(1000): x.append(s.upper())", "limits.memory"},
		{"list of a range", `x = list(range(150000)) + list(range(150000)) + list(range(150000)) + list(range(150000))`, "limits"},
		{"endless range", `x = max(range(1 << 40))`, "limits.steps"},
		{"nested text", "x = []\n  for i in range(60): x = [x, x]\n  y = str(x)", "limits.memory"},
		{"nested print", "x = []\n  for i in range(60): x = [x, x]\n  print(x)", "limits.memory"},
		{"nested fail", "x = []\n  for i in range(60): x = [x, x]\n  fail(x)", "limits.memory"},
		{"nested JSON", "x = []\n  for i in range(60): x = [x, x]\n  y = json.encode(x)", "limits.memory"},
		{"nested shared", "x = []\n  for i in range(60): x = [x, x]\n  write_shared_data(\"k\", x)", "limits.memory"},
		{"nested items", "x = []\n  for i in range(60): x = [x, x]\n  context[\"session_items\"][\"x\"] = x", "larger than it may be"},
		{"numbers", "n = 3\n  for i in range(60): n = n * n", "too large"},
		{"numbers in place", "n = 3\n  for i in range(60): n *= n", "too large"},
		{"shifts", "n = 1\n  for i in range(10000): n = n << 500", "too large"},
		{"digits", `n = int("9" * 1000000)`, "too large"},
		{"regular expression", `x = re.sub("", "a" * 1000, "b" * 1000000)`, "limits.memory"},
		{"loop", "while True: pass", "limits.steps"},
		{"recursion", "f = lambda g: g(g)\n  f(f)", "recursively"},
		{"payload", `context["payload"] = "a" * 200000`, "limits.result"},
		{"topic", `context["topic"] = "a" * 200000`, "limits.result"},
		{"shared", `write_shared_data("k", "a" * 200000)`, "limits.result"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var m script.Memory
			s := mustLoad(t, script.Options{Broker: m.Broker(), Limits: script.Limits{Time: time.Minute, Memory: 1 << 20, Steps: 50_000, Result: 1 << 16}},
				"def on_intercept_application_message(context):\n  "+c.body+"\n")
			call := &pluginapi.PublishCall{Client: &pluginapi.Client{ID: "c"}, Message: &pluginapi.Message{Topic: "t"}}
			v, err := s.Publish(t.Context(), call)
			if err == nil {
				t.Fatalf("it is decided: %+v", v)
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "rules.star") {
				t.Errorf("%v", err)
			}
		})
	}
}

// What people write every day is far from the limits.
func TestOrdinaryScriptsAreFarFromTheLimits(t *testing.T) {
	s := mustLoad(t, script.Options{}, `
def on_intercept_application_message(context):
    words = []
    for i in range(10000):
        words += ["%d" % i]
    d = {}
    for w in words:
        d[w] = d.get(w, 0) + 1
        d["n"] = 0
        d["n"] += 1
    text = ",".join(words).upper().replace(",", ";")
    context["payload"] = json.encode({"n": len(d), "first": text[:10], "all": [int(w) * 2 for w in text.split(";")[:3]]})
`)
	call := &pluginapi.PublishCall{Client: &pluginapi.Client{ID: "c"}, Message: &pluginapi.Message{Topic: "t"}}
	if _, err := s.Publish(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if got, want := string(call.Message.Payload), `{"all":[0,2,4],"first":"0;1;2;3;4;","n":10001}`; got != want {
		t.Errorf("%s", got)
	}
}

// A guarded operator does what the plain one does.
func TestOperators(t *testing.T) {
	s := mustLoad(t, script.Options{}, `
def check(got, want):
    if got != want or type(got) != type(want):
        fail("it is", got, "and not", want)

def initialize():
    check(1 + 2, 3)
    check("a" + "b", "ab")
    check([1] + [2], [1, 2])
    check((1,) + (2,), (1, 2))
    check(2 * 3, 6)
    check(2 * 1.5, 3.0)
    check("ab" * 2, "abab")
    check(2 * "ab", "abab")
    check([1] * 3, [1, 1, 1])
    check((1,) * 0, ())
    check("ab" * -1, "")
    check(7 % 4, 3)
    check("%s-%d" % ("a", 1), "a-1")
    check({"a": 1} | {"b": 2}, {"a": 1, "b": 2})
    check(5 | 2, 7)
    check(1 << 3, 8)
    check("abcdef"[1:4:2], "bd")
    check([1, 2, 3][:-1], [1, 2])
    check("a,b".split(","), ["a", "b"])
    check("{}-{x}".format(1, x=2), "1-2")
    a = [1]
    b = a
    b += (2,)
    check(a, [1, 2])
    n = 1
    n += 2
    n *= 5
    n %= 4
    check(n, 3)
    calls = []
    def at(i):
        calls.append(i)
        return i
    l = [1, 2]
    l[at(-1)] += 5
    check(l, [1, 7])
    check(calls, [-1])
    d = {"k": [1]}
    d["k"] += [2]
    check(d, {"k": [1, 2]})
    s = "x"
    s += "y"
    check(s, "xy")
    None_ = [1, 2][:]
    check(None_, [1, 2])
    check({"b": 1, "a": 2}.keys(), ["b", "a"])
    check(sorted([3, 1, 2], reverse=True), [3, 2, 1])
    check([x for x in zip([1], [2])], [(1, 2)])
    check(max(1, 3, 2), 3)
    check(dict([("a", 1)], b=2), {"a": 1, "b": 2})
    check(len(set([1, 1, 2])), 2)
`)
	if err := s.Initialize(t.Context()); err != nil {
		f, _ := errors.AsType[*script.Failure](err)
		t.Fatalf("%v\n%s", err, f.Traceback)
	}
}

// Time ends a call, also where it waits for somebody else, and where nobody
// waits for it any more.
func TestTime(t *testing.T) {
	text := "def on_intercept_application_message(context):\n  while True: pass\n"
	call := &pluginapi.PublishCall{Client: &pluginapi.Client{ID: "c"}, Message: &pluginapi.Message{Topic: "t"}}
	s := mustLoad(t, script.Options{Limits: script.Limits{Time: 20 * time.Millisecond, Steps: 1 << 62}}, text)
	if _, err := s.Publish(t.Context(), call); err == nil || !strings.Contains(err.Error(), "longer than 20ms") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = mustLoad(t, script.Options{Limits: script.Limits{Time: time.Hour, Steps: 1 << 62}}, text)
	if _, err := s.Publish(ctx, call); err == nil || !strings.Contains(err.Error(), "nobody waits") {
		t.Errorf("%v", err)
	}
}

// A failed call leaves nothing behind for the next one on the same thread.
func TestCallsAreIndependent(t *testing.T) {
	s := mustLoad(t, script.Options{}, `
def on_intercept_application_message(context):
    if context["topic"] == "bad":
        fail("no")
    x = "a" * 2000000
`)
	for _, topic := range []string{"good", "bad", "good", "good", "bad", "good"} {
		_, err := s.Publish(t.Context(), &pluginapi.PublishCall{Message: &pluginapi.Message{Topic: topic}})
		if (err != nil) != (topic == "bad") {
			t.Errorf("%s: %v", topic, err)
		}
	}
}
