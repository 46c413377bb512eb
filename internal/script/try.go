package script

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"go.starlark.net/starlark"
)

// Trial is what came of trying a hook out.
type Trial struct {
	// Outcome is as the function outcome for tests says; "" for an event.
	Outcome string `json:"outcome,omitempty"`
	// Context is the context after the call.
	Context json.RawMessage `json:"context"`
	// Published are the messages that the script published.
	Published json.RawMessage `json:"published,omitempty"`
}

// HookNames are the names of hooks as [Try] takes them.
func HookNames() []string {
	var out []string
	for i := range hooks {
		if hooks[i].record != nil {
			out = append(out, hooks[i].Short)
		}
	}
	return out
}

// Try calls a hook of a script with the fields of a JSON object, and with a
// broker that is none.
func Try(ctx context.Context, files fs.FS, name, hook string, input []byte, o Options) (*Trial, error) {
	id := hookID(-1)
	for i := range hooks {
		if hooks[i].record != nil && (hooks[i].Short == hook || hooks[i].Name == hook) {
			id = hookID(i)
		}
	}
	if id < 0 {
		return nil, fmt.Errorf("there is no hook %q; there are %s", hook, strings.Join(HookNames(), ", "))
	}
	var m Memory
	o.Broker = m.Broker()
	s, err := load(ctx, files, []string{name}, nil, o)
	if err != nil {
		return nil, err
	}
	if len(s.functions[id]) == 0 {
		return nil, fmt.Errorf("%s has no function %s", name, hooks[id].Name)
	}
	src, err := s.source(ctx, id, input)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if err := s.Initialize(ctx); err != nil {
		return nil, err
	}
	if err := s.through(ctx, id, src, s.limits.BackgroundTime, nil); err != nil {
		return nil, err
	}
	x := newContext(&hooks[id], src, &s.limits)
	t := &Trial{Outcome: x.outcome()}
	if t.Context, err = marshal(x); err != nil {
		return nil, err
	}
	if list := m.Published(); len(list) > 0 {
		var messages []starlark.Value
		for _, msg := range list {
			messages = append(messages, messageRecord.dict(msg))
		}
		t.Published, err = marshal(starlark.NewList(messages))
	}
	return t, err
}

// source makes what a hook is about of a JSON object.
func (s *Set) source(ctx context.Context, id hookID, input []byte) (src any, err error) {
	fields, err := fromJSON(input)
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %s", oneLine(err.Error()))
	}
	d, ok := fields.(*starlark.Dict)
	if !ok {
		return nil, wrong("a JSON object", fields)
	}
	err = s.run(ctx, "input", s.limits.BackgroundTime, func(c *call) error {
		x, err := buildContext(c, &hooks[id], d.Items())
		if err == nil {
			src = x.src
		}
		return err
	})
	return src, err
}

func marshal(v starlark.Value) (json.RawMessage, error) {
	plain, err := plainJSON(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(plain)
}
