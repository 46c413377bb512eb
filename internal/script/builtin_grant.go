package script

import (
	"fmt"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

var grantBuiltins = []builtin{
	{
		name: "allow", params: "topic, actions=None, qos=None, retain=None", fn: grantBuiltin("allow", false),
		doc: "An entry of `grants` that permits actions (`\"publish\"`, `\"subscribe\"`, `\"receive\"`, a list of them, or all) on the topics that match a filter, in the client's own topics. " +
			"`%c` and `%u` in it stand for the client identifier and the user name. `qos` is the highest; `retain` permits publishing with this flag only.",
	},
	{
		name: "deny", params: "topic, actions=None", fn: grantBuiltin("deny", true),
		doc: "An entry of `grants` that denies; it wins over all that permit.",
	},
}

func grantBuiltin(name string, deny bool) func(*call, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(_ *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var topic string
		var actions, qos, retain starlark.Value = starlark.None, starlark.None, starlark.None
		if err := starlark.UnpackArgs(name, args, kwargs, "topic", &topic, "actions?", &actions, "qos?", &qos, "retain?", &retain); err != nil {
			return nil, err
		}
		g := pluginapi.Grant{Deny: deny}
		fields := []starlark.Tuple{{text("topic"), text(topic)}, {text("qos"), qos}, {text("retain"), retain}}
		if actions != starlark.None {
			fields = append(fields, starlark.Tuple{text("actions"), actions})
		}
		err := grantRecord.fill(&g, fields)
		if err == nil {
			err = validFilter(topic)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return grantRecord.dict(&g), nil
	}
}
