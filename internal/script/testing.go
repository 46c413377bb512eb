package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"
)

// Result is the outcome of one test function.
type Result struct {
	File, Name string
	Err        error // nil: it passed
	Took       time.Duration
}

// Test runs the functions of a script whose names begin with test_, and those of
// the file with tests beside it: rules_test.star for rules.star. Each runs with
// a broker of its own that is none, and a clock that it can set. The error says
// why there was nothing to run.
func Test(ctx context.Context, files fs.FS, name string, o Options) ([]Result, error) {
	list := []string{name}
	if beside := strings.TrimSuffix(name, Extension) + TestExtension; !strings.HasSuffix(name, TestExtension) {
		if _, err := fs.Stat(files, beside); err == nil {
			list = append(list, beside)
		}
	}
	var results []Result
	for _, file := range list {
		found, err := testFile(ctx, files, file, o)
		if err != nil {
			return results, err
		}
		results = append(results, found...)
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("%s has no function whose name begins with test_", strings.Join(list, " and "))
	}
	return results, nil
}

func testFile(ctx context.Context, files fs.FS, file string, o Options) ([]Result, error) {
	var results []Result
	for i := 0; ; i++ {
		// A set of its own for each test: what one does is unknown to the next.
		bench := &testBench{}
		with := o
		with.Broker, with.Now = bench.memory.Broker(), bench.now
		s, err := load(ctx, files, []string{file}, testNames(), with)
		if err != nil {
			return nil, err
		}
		s.bench = bench
		m := s.scripts[0]
		tests := testsOf(m)
		if i >= len(tests) {
			return results, nil
		}
		start := time.Now()
		err = s.run(ctx, tests[i].Name(), s.limits.BackgroundTime, func(c *call) error {
			if _, err := starlark.Call(c.thread, tests[i], nil, nil); err != nil {
				return fail(file, tests[i].Name(), err)
			}
			return nil
		})
		results = append(results, Result{File: file, Name: tests[i].Name(), Err: err, Took: time.Since(start)})
	}
}

// testsOf are the tests of a file, in its order.
func testsOf(m *module) []*starlark.Function {
	var tests []*starlark.Function
	for name, v := range m.globals {
		if f, ok := v.(*starlark.Function); ok && strings.HasPrefix(name, "test_") {
			tests = append(tests, f)
		}
	}
	slices.SortFunc(tests, func(a, b *starlark.Function) int {
		if c := strings.Compare(path.Base(a.Position().Filename()), path.Base(b.Position().Filename())); c != 0 {
			return c
		}
		return int(a.Position().Line) - int(b.Position().Line)
	})
	return tests
}

// testBench is what one test has of its own.
type testBench struct {
	memory Memory
	mu     sync.Mutex // guards the field below
	clock  time.Time
}

func (b *testBench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clock.IsZero() {
		return time.Now()
	}
	return b.clock
}

// testBuiltins are for tests alone.
func testBuiltins() []builtin {
	out := []builtin{
		{name: "assert_eq", params: "got, want", doc: "Fails unless both are equal.", fn: assertEq},
		{name: "assert_true", params: "condition, message=\"\"", doc: "Fails unless the condition is true.", fn: assertTrue},
		{name: "assert_fails", params: "function, pattern=\"\"", doc: "Fails unless calling the function fails, with a message that the regular expression matches.", fn: assertFails},
		{name: "published", params: "", doc: "The messages that were published, as a list of dicts.", fn: published},
		{name: "disconnected", params: "", doc: "Who was disconnected: reason codes by client identifier.", fn: disconnected},
		{name: "connected", params: "client_id, **fields", doc: "Has `clients` and the like know a client.", fn: connected},
		{name: "set_time", params: "time", doc: "Sets the clock, to a time or a text such as `\"2026-03-01T12:30:00Z\"`.", fn: setTime},
		{name: "advance", params: "duration", doc: "Sets the clock forward.", fn: advance},
		{name: "outcome", params: "context", doc: "What becomes of a call: `pass`, `drop`, `refuse` or `disconnect`; of a CONNECT `allow`, `deny` or `abstain`.", fn: outcome},
	}
	for id := range hooks {
		h := &hooks[id]
		if h.record == nil {
			continue
		}
		out = append(out, builtin{
			name: h.Short + "_context", params: "**fields", doc: "A context for `" + h.Name + "`, with any of its fields.",
			fn: func(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
				if len(args) > 0 {
					return nil, errors.New("fields are given by name")
				}
				return buildContext(c, h, kwargs)
			},
		})
	}
	return out
}

// testNames are the functions for tests as names of the language.
var testNames = sync.OnceValue(func() starlark.StringDict {
	out := make(starlark.StringDict)
	list := testBuiltins()
	for i := range list {
		out[list[i].name] = list[i].value()
	}
	return out
})

// buildContext makes a context as if it came from the broker, with some fields
// set.
func buildContext(c *call, h *Hook, fields []starlark.Tuple) (*Context, error) {
	x := newContext(h, h.fresh(), c.limits)
	for _, kv := range fields {
		name, _ := starlark.AsString(kv[0])
		i, ok := h.record.index[name]
		if !ok {
			if strings.HasPrefix(name, "_") {
				if err := x.SetKey(kv[0], kv[1]); err != nil {
					return nil, err
				}
				continue
			}
			return nil, fmt.Errorf("%s has no field %q; it has %s", h.Name, name, h.record.names(false))
		}
		if name == "client_id" && kv[1] == starlark.None && h == &hooks[hookPublish] {
			x.src.(*publishing).call.Client = nil
			continue
		}
		if err := x.assign(i, kv[1]); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func assertEq(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var got, want starlark.Value
	if err := starlark.UnpackArgs("assert_eq", args, kwargs, "got", &got, "want", &want); err != nil {
		return nil, err
	}
	equal, err := starlark.Equal(got, want)
	if err == nil && !equal {
		err = fmt.Errorf("it is %s, and should be %s", short(got), short(want))
	}
	return starlark.None, err
}

func assertTrue(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var condition starlark.Value
	message := "it is not true"
	if err := starlark.UnpackArgs("assert_true", args, kwargs, "condition", &condition, "message?", &message); err != nil {
		return nil, err
	}
	if !condition.Truth() {
		return nil, errors.New(message)
	}
	return starlark.None, nil
}

func assertFails(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var f starlark.Callable
	var p string
	if err := starlark.UnpackArgs("assert_fails", args, kwargs, "function", &f, "pattern?", &p); err != nil {
		return nil, err
	}
	re, err := pattern(p)
	if err != nil {
		return nil, err
	}
	_, err = starlark.Call(c.thread, f, nil, nil)
	if err == nil {
		return nil, errors.New("it did not fail")
	}
	if !re.MatchString(err.Error()) {
		return nil, fmt.Errorf("it failed with %q", oneLine(err.Error()))
	}
	return starlark.None, nil
}

func (c *call) bench() (*testBench, error) {
	if c.set.bench == nil {
		return nil, errors.New("only tests can do this")
	}
	return c.set.bench, nil
}

func published(c *call, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	b, err := c.bench()
	if err != nil {
		return nil, err
	}
	var out []starlark.Value
	for _, m := range b.memory.Published() {
		out = append(out, messageRecord.dict(m))
	}
	return starlark.NewList(out), nil
}

func disconnected(c *call, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	b, err := c.bench()
	if err != nil {
		return nil, err
	}
	d := new(starlark.Dict)
	for id, how := range b.memory.Disconnected {
		_ = d.SetKey(text(id), text(reasonName(how.Code))) // a string can be hashed
	}
	return d, nil
}

func connected(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	b, err := c.bench()
	if err != nil {
		return nil, err
	}
	client := freshClient()
	if len(args) == 1 {
		kwargs = append([]starlark.Tuple{{text("client_id"), args[0]}}, kwargs...)
	}
	if err := clientRecord.fill(client, kwargs); err != nil {
		return nil, err
	}
	b.memory.Connect(*client)
	return starlark.None, nil
}

func setTime(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs("set_time", args, kwargs, "time", &v); err != nil {
		return nil, err
	}
	b, err := c.bench()
	if err != nil {
		return nil, err
	}
	t, err := toTime(v)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = t
	return starlark.None, err
}

func advance(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs("advance", args, kwargs, "duration", &v); err != nil {
		return nil, err
	}
	b, err := c.bench()
	if err != nil {
		return nil, err
	}
	d, err := toDuration(v)
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = now.Add(d)
	return starlark.None, err
}

func outcome(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x *Context
	if err := starlark.UnpackArgs("outcome", args, kwargs, "context", &x); err != nil {
		return nil, err
	}
	if err := x.settle(); err != nil {
		return nil, err
	}
	return text(x.outcome()), nil
}

// outcome is what a context's answer means, "" for an event.
func (x *Context) outcome() string {
	switch src := x.src.(type) {
	case *connecting:
		return src.decide().Word.String()
	case *publishing:
		return src.verdict().Action.String()
	case *subscribing:
		return src.verdict().Action.String()
	case *unsubscribing:
		return src.verdict().Action.String()
	case *delivering:
		return src.deliveryVerdict().Action.String()
	}
	return ""
}
