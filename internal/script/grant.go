package script

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

var actions = []struct {
	name string
	bit  pluginapi.Action
}{{"publish", pluginapi.Publish}, {"subscribe", pluginapi.Subscribe}, {"receive", pluginapi.Receive}}

// grantRecord is a grant as a dict.
var grantRecord = newRecord([]field{
	fieldOf("topic", "string", "A topic filter, in the client's own topics; `%c` and `%u` stand for client identifier and user name.",
		func(g *pluginapi.Grant) starlark.Value { return text(g.Filter) }, assign(toText, func(g *pluginapi.Grant, s string) { g.Filter = s })),
	fieldOf("deny", "bool", "Whether it denies what it is about.",
		func(g *pluginapi.Grant) starlark.Value { return starlark.Bool(g.Deny) }, assign(toBool, func(g *pluginapi.Grant, b bool) { g.Deny = b })),
	fieldOf("actions", "list of string", "`publish`, `subscribe`, `receive`.",
		func(g *pluginapi.Grant) starlark.Value {
			var list []string
			for _, a := range actions {
				if g.Actions&a.bit != 0 || g.Actions == 0 {
					list = append(list, a.name)
				}
			}
			return texts(list)
		}, setActions),
	fieldOf("qos", "int or None", "The highest QoS.",
		func(g *pluginapi.Grant) starlark.Value {
			if g.MaxQoS == nil {
				return starlark.None
			}
			return number(*g.MaxQoS)
		}, func(g *pluginapi.Grant, v starlark.Value) error {
			if v == starlark.None {
				g.MaxQoS = nil
				return nil
			}
			q, err := toQoS(v)
			g.MaxQoS = &q
			return err
		}),
	fieldOf("retain", "bool or None", "Publishes with this flag only; `None` for both.",
		func(g *pluginapi.Grant) starlark.Value {
			if g.Retain == nil {
				return starlark.None
			}
			return starlark.Bool(*g.Retain)
		}, func(g *pluginapi.Grant, v starlark.Value) error {
			if v == starlark.None {
				g.Retain = nil
				return nil
			}
			b, err := toBool(v)
			g.Retain = &b
			return err
		}),
})

func setActions(g *pluginapi.Grant, v starlark.Value) error {
	list, err := toTexts(v)
	if err != nil {
		return err
	}
	g.Actions = 0
	for _, name := range list {
		known := false
		for _, a := range actions {
			if a.name == strings.ToLower(name) {
				g.Actions, known = g.Actions|a.bit, true
			}
		}
		if !known {
			return fmt.Errorf("there is no action %q; there are publish, subscribe and receive", name)
		}
	}
	if g.Actions == 0 {
		return fmt.Errorf("it has no actions; leave them out for all")
	}
	return nil
}

func grants(list []pluginapi.Grant) starlark.Value {
	if list == nil {
		return starlark.None
	}
	out := make([]starlark.Value, len(list))
	for i := range list {
		out[i] = grantRecord.dict(&list[i])
	}
	return starlark.NewList(out)
}

func toGrants(v starlark.Value) ([]pluginapi.Grant, error) {
	if v == starlark.None {
		return nil, nil
	}
	list, ok := v.(starlark.Iterable)
	if _, dict := v.(*starlark.Dict); !ok || dict {
		return nil, wrong("a list of what allow() and deny() return", v)
	}
	out := []pluginapi.Grant{}
	for e := range starlark.Elements(list) {
		d, ok := e.(starlark.IterableMapping)
		if !ok {
			return nil, wrong("a list of what allow() and deny() return", v)
		}
		var g pluginapi.Grant
		if err := grantRecord.fill(&g, d.Items()); err != nil {
			return nil, err
		}
		if err := validFilter(g.Filter); err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// validFilter refuses what is no topic filter.
func validFilter(f string) error {
	levels := strings.Split(f, "/")
	for i, level := range levels {
		if strings.Contains(level, "#") && (level != "#" || i != len(levels)-1) || strings.Contains(level, "+") && level != "+" {
			return fmt.Errorf("%q is no topic filter", f)
		}
	}
	if f == "" || len(f) > 65535 {
		return fmt.Errorf("%q is no topic filter", f)
	}
	return nil
}
