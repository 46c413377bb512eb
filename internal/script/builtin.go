package script

import (
	"maps"
	"slices"
	"strings"
	"sync"

	starjson "go.starlark.net/lib/json"
	starmath "go.starlark.net/lib/math"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// builtin is a function that scripts can call.
type builtin struct {
	module string // "" for none
	name   string
	params string
	doc    string
	fn     func(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)
}

func (b *builtin) full() string {
	if b.module == "" {
		return b.name
	}
	return b.module + "." + b.name
}

// value is the function as a value of the language.
func (b *builtin) value() *starlark.Builtin {
	return starlark.NewBuiltin(b.full(), func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		c := callOf(thread)
		out, err := b.fn(c, args, kwargs)
		if err == nil {
			err = c.charge(sizeOf(out))
		}
		return out, err
	})
}

// allBuiltins are all of them, in the order in which the reference shows them.
func allBuiltins() []builtin {
	return slices.Concat(brokerBuiltins, sharedBuiltins, grantBuiltins, textBuiltins, hashBuiltins, outsideBuiltins, logBuiltins, loadBuiltins)
}

// moduleDocs say what the modules are for. Those of the language's own library
// have no functions in builtins.
var moduleDocs = []struct{ name, doc string }{
	{"json", "`json.encode(value)`, `json.decode(text, default)`, `json.indent(text)`, `json.encode_indent(value)`. What can't be decoded fails, unless there is a default."},
	{"time", "`time.now()`, `time.from_timestamp(seconds)`, `time.parse_time(text, format, location)`, `time.parse_duration(\"10s\")`, `time.time(year=...)`, `time.second`, `time.minute` and the like. A time has `.unix`, `.unix_nano`, `.year` ... `.second`, and `.format(layout)` with Go's layouts (`\"2006-01-02T15:04:05Z07:00\"`)."},
	{"math", "`math.floor`, `ceil`, `round`, `fabs`, `pow`, `sqrt`, `exp`, `log`, trigonometry, `math.pi`, `math.e`."},
	{"re", "Regular expressions, in RE2's syntax: they take time in proportion to the text, whatever they are. Write patterns as raw strings."},
	{"base64", "Base64, of the standard or, with `url=True`, of the alphabet for URLs without padding."},
	{"hash", "Hashes, as hexadecimal digits, or as bytes with `raw=True`. (The language's own `hash` is not there.)"},
	{"hmac", "Hashes with a key."},
	{"http", "HTTP, only to the hosts that the configuration names under `http.hosts`. It waits: a hook has as much time as `limits` gives it. There is no exception for a server that can't be reached: `status` is 0 then, and `error` says why."},
	{"log", "The broker's log. Arguments by name become attributes. Lines are limited in rate; count what happens per message instead of logging it."},
}

// predeclared are all names that scripts can use beyond the language's own. What
// differs between sets comes with the call.
var predeclared = sync.OnceValue(makePredeclared)

func makePredeclared() starlark.StringDict {
	all := universe()
	maps.Copy(all, guards())
	modules := map[string]starlark.StringDict{
		"json": guardedModule(starjson.Module.Members), "time": startime.Module.Members, "math": starmath.Module.Members,
	}
	builtins := allBuiltins()
	for i := range builtins {
		b := &builtins[i]
		if b.fn == nil {
			continue // the language's own
		}
		if b.module == "" {
			all[b.name] = b.value()
			continue
		}
		if modules[b.module] == nil {
			modules[b.module] = make(starlark.StringDict)
		}
		modules[b.module][b.name] = b.value()
	}
	for name, members := range modules {
		all[name] = &starlarkstruct.Module{Name: name, Members: members}
	}
	// MQTTnet's scripts call these on an object.
	all["mqtt_net_server"] = &starlarkstruct.Module{Name: "mqtt_net_server", Members: starlark.StringDict{
		"publish": all["publish"], "read_shared_data": all["read_shared_data"], "write_shared_data": all["write_shared_data"],
	}}
	all.Freeze()
	return all
}

// guardedModule books what json makes.
func guardedModule(members starlark.StringDict) starlark.StringDict {
	out := make(starlark.StringDict)
	for name, v := range members {
		f, ok := v.(*starlark.Builtin)
		if !ok {
			out[name] = v
			continue
		}
		out[name] = starlark.NewBuiltin(f.Name(), func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			c := callOf(thread)
			n := measure(args, c.limits.Memory)
			if strings.HasSuffix(f.Name(), "decode") {
				n *= 4
			}
			if err := c.charge(n); err != nil {
				return nil, err
			}
			return f.CallInternal(thread, args, kwargs)
		})
	}
	return out
}
