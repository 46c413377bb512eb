package script

import (
	"errors"
	"log/slog"
	"slices"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

var logBuiltins = []builtin{
	logBuiltin("debug", slog.LevelDebug), logBuiltin("info", slog.LevelInfo), logBuiltin("warn", slog.LevelWarn), logBuiltin("error", slog.LevelError),
	{
		name: "print", params: "*args", doc: "Writes a line to the log, at the level `debug`.", // fn: universe's
	},
}

// maxLogged bounds a value in the log.
const maxLogged = 4096

func logBuiltin(name string, level slog.Level) builtin {
	return builtin{
		module: "log", name: name, params: "message, **attributes", doc: "Writes a line at the level `" + name + "`.",
		fn: func(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var message string
			if err := starlark.UnpackPositionalArgs("log."+name, args, nil, 1, &message); err != nil {
				return nil, err
			}
			if !c.set.log.Enabled(c.ctx, level) {
				return starlark.None, nil
			}
			attrs := []any{slog.String("script", c.place())}
			for _, kv := range kwargs {
				key, _ := starlark.AsString(kv[0])
				attrs = append(attrs, slog.String(key, logged(kv[1])))
			}
			c.set.log.Log(c.ctx, level, clip(message), attrs...) //nolint:sloglint // the script's own message
			return starlark.None, nil
		},
	}
}

func printLine(thread *starlark.Thread, message string) {
	c := callOf(thread)
	c.set.log.DebugContext(c.ctx, clip(message), slog.String("script", c.place())) //nolint:sloglint // the script's own message
}

// place is where in the script the call is.
func (c *call) place() string {
	for i := range c.thread.CallStackDepth() {
		if pos := c.thread.CallFrame(i).Pos; pos.IsValid() && pos.Filename() != "<builtin>" {
			return pos.String()
		}
	}
	return c.thread.Name
}

func logged(v starlark.Value) string {
	if s, ok := starlark.AsString(v); ok {
		return clip(s)
	}
	if measure(v, maxLogged) > maxLogged {
		return "a " + v.Type()
	}
	return v.String()
}

func clip(s string) string {
	if len(s) > maxLogged {
		return s[:maxLogged] + "..."
	}
	return s
}

var loadBuiltins = []builtin{
	{
		name: "topics", params: "function, *filters", fn: topics,
		doc: "Restricts a hook's function to topics that match one of the filters; for `on_intercept_subscription`, to filters that equal one or that one matches. At the top level of a script. Other messages do not even reach the plugin, if all scripts are that modest.",
	},
	{
		name: "every", params: "interval, function", fn: every,
		doc: "Has a function called again and again, at the top level of a script: `every(\"10s\", fn)`. The next call comes an interval after the last one has ended. The shortest interval is 100 ms.",
	},
}

func topics(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if c.module == nil || !c.loading {
		return nil, errors.New("topics is called at the top level of a script")
	}
	if len(kwargs) > 0 || len(args) < 2 {
		return nil, errors.New("topics takes a function and at least one filter")
	}
	f, ok := args[0].(starlark.Callable)
	if !ok {
		return nil, wrong("a function", args[0])
	}
	h := hookNamed(f.Name())
	if h == nil || h.record == nil || !slices.Contains([]pluginapi.Hook{pluginapi.HookPublish, pluginapi.HookSubscribe, pluginapi.HookUnsubscribe, pluginapi.HookDeliver, pluginapi.HookEvent}, h.point) {
		return nil, errors.New("topics takes a hook's function that is about a topic, not " + f.Name())
	}
	for _, a := range args[1:] {
		filter, err := toText(a)
		if err == nil {
			err = validFilter(filter)
		}
		if err != nil {
			return nil, err
		}
		c.module.topics[h.Name] = append(c.module.topics[h.Name], filter)
	}
	return starlark.None, nil
}
