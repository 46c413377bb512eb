package script

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// reasons are the reason codes by their names without what people write in
// different ways.
var reasons = func() map[string]pluginapi.ReasonCode {
	all := make(map[string]pluginapi.ReasonCode)
	for n := range 256 {
		c := pluginapi.ReasonCode(n)
		if !strings.HasPrefix(c.String(), "reason code") {
			all[bare(c.String())] = c
		}
	}
	return all
}()

// ReasonNames are the names of all reason codes, as scripts write them, in the
// order of their numbers.
func ReasonNames() []string {
	var out []string
	for n := range 256 {
		if c := pluginapi.ReasonCode(n); !strings.HasPrefix(c.String(), "reason code") {
			out = append(out, reasonName(c))
		}
	}
	return out
}

// bare takes away what differs between "not_authorized", "NotAuthorized" and
// "not authorized".
func bare(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", " ", "", "-", "").Replace(s))
}

// reasonName is a code as scripts see it: the specification's name in snake
// case.
func reasonName(c pluginapi.ReasonCode) string {
	return strings.ToLower(strings.NewReplacer(" ", "_", "-", "_").Replace(c.String()))
}

// toReason takes a name or a number.
func toReason(v starlark.Value) (pluginapi.ReasonCode, error) {
	if s, ok := starlark.AsString(v); ok {
		if c, ok := reasons[bare(s)]; ok {
			return c, nil
		}
		return 0, fmt.Errorf("there is no reason code %q; docs/scripting.md lists them, such as \"not_authorized\"", s)
	}
	n, err := toUint[uint8](v)
	if err != nil {
		return 0, wrong(`the name of a reason code such as "not_authorized", or its number`, v)
	}
	c := pluginapi.ReasonCode(n)
	if strings.HasPrefix(c.String(), "reason code") {
		return 0, fmt.Errorf("there is no reason code %d", n)
	}
	return c, nil
}
