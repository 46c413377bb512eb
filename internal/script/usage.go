package script

import (
	"maps"
	"slices"

	"go.starlark.net/syntax"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// usage is what a hook's function does with its context, as far as its text
// tells.
type usage struct {
	reads, writes map[string]syntax.Position // by key, the first place
	// all says that the context is used in a way of which the text does not
	// tell the keys: it may be any.
	all bool
	pos syntax.Position // of the function
}

// usages finds the hooks' functions of a file.
func usages(f *syntax.File) map[string]*usage {
	out := make(map[string]*usage)
	for _, s := range f.Stmts {
		def, ok := s.(*syntax.DefStmt)
		if !ok || hookNamed(def.Name.Name) == nil || len(def.Params) != 1 {
			continue
		}
		param, ok := def.Params[0].(*syntax.Ident)
		if !ok {
			continue
		}
		if out[def.Name.Name] != nil {
			out[def.Name.Name].all = true // defined twice
			continue
		}
		u := &usage{pos: def.Name.NamePos, reads: make(map[string]syntax.Position), writes: make(map[string]syntax.Position)}
		for _, stmt := range def.Body {
			syntax.Walk(stmt, func(n syntax.Node) bool { return u.visit(n, param.Name) })
		}
		out[def.Name.Name] = u
	}
	return out
}

// visit looks at one node, and reports whether to look into it.
func (u *usage) visit(n syntax.Node, context string) bool {
	switch n := n.(type) {
	case *syntax.Ident:
		u.all = u.all || n.Name == context
	case *syntax.DotExpr:
		// The name behind the dot is none of a variable.
		syntax.Walk(n.X, func(m syntax.Node) bool { return u.visit(m, context) })
		return false
	case *syntax.AssignStmt:
		if i, ok := n.LHS.(*syntax.IndexExpr); ok && isName(i.X, context) {
			if key, pos, ok := literal(i.Y); ok {
				note(u.writes, key, pos)
				if n.Op != syntax.EQ {
					note(u.reads, key, pos)
				}
				syntax.Walk(n.RHS, func(m syntax.Node) bool { return u.visit(m, context) })
				return false
			}
		}
	case *syntax.IndexExpr:
		if key, pos, ok := literal(n.Y); ok && isName(n.X, context) {
			note(u.reads, key, pos)
			return false
		}
	case *syntax.BinaryExpr:
		if key, _, ok := literal(n.X); ok && (n.Op == syntax.IN || n.Op == syntax.NOT_IN) && isName(n.Y, context) {
			_ = key // whether a key is there does not depend on its value
			return false
		}
		if n.Op == syntax.EQ { // a named argument: its name is none of a variable
			syntax.Walk(n.Y, func(m syntax.Node) bool { return u.visit(m, context) })
			return false
		}
	case *syntax.CallExpr:
		dot, ok := n.Fn.(*syntax.DotExpr)
		if ok && isName(dot.X, context) && dot.Name.Name == "get" && len(n.Args) > 0 {
			if key, pos, ok := literal(n.Args[0]); ok {
				note(u.reads, key, pos)
				for _, a := range n.Args[1:] {
					syntax.Walk(a, func(m syntax.Node) bool { return u.visit(m, context) })
				}
				return false
			}
		}
	}
	return true
}

func note(m map[string]syntax.Position, key string, pos syntax.Position) {
	if _, ok := m[key]; !ok {
		m[key] = pos
	}
}

func isName(e syntax.Expr, name string) bool {
	i, ok := unparen(e).(*syntax.Ident)
	return ok && i.Name == name
}

func literal(e syntax.Expr) (string, syntax.Position, bool) {
	l, ok := unparen(e).(*syntax.Literal)
	if !ok || l.Token != syntax.STRING {
		return "", syntax.Position{}, false
	}
	return l.Value.(string), l.TokenPos, true
}

// wantsPayload reports whether a function may look at a payload, or change it.
func (u *usage) wantsPayload() bool {
	if u == nil || u.all {
		return true
	}
	for _, key := range []string{"payload", "payload_text"} {
		_, read := u.reads[key]
		_, written := u.writes[key]
		if read || written {
			return true
		}
	}
	return false
}

// changeable says which part of a message a key changes.
var changeable = map[string]pluginapi.Field{
	"topic": pluginapi.FieldTopic, "payload": pluginapi.FieldPayload, "payload_text": pluginapi.FieldPayload, "qos": pluginapi.FieldQoS,
	"retain": pluginapi.FieldRetain, "user_properties": pluginapi.FieldUserProperties, "message_expiry_interval": pluginapi.FieldExpiry,
	"content_type": pluginapi.FieldContentType, "payload_format_indicator": pluginapi.FieldContentType,
	"response_topic": pluginapi.FieldResponse, "correlation_data": pluginapi.FieldResponse,
}

// changes are the parts of a message that a function may change.
func (u *usage) changes(into map[pluginapi.Field]struct{}) {
	for key, field := range changeable {
		if u == nil || u.all {
			into[field] = struct{}{}
			continue
		}
		_, written := u.writes[key]
		_, read := u.reads[key]
		if written || read && key == "user_properties" { // which can be changed in place
			into[field] = struct{}{}
		}
	}
}

// Interest is what the functions of the scripts ask for, and nothing else.
func (s *Set) Interest() []pluginapi.Interest {
	var out []pluginapi.Interest
	for id := range hooks {
		h := &hooks[id]
		functions := s.functions[id]
		if len(functions) == 0 || h.record == nil {
			continue
		}
		in := pluginapi.Interest{Hook: h.point, Payload: pluginapi.PayloadNone, Events: h.events}
		fields := make(map[pluginapi.Field]struct{})
		filters, everything := make(map[string]struct{}), false
		for _, f := range functions {
			u := f.module.uses[h.Name]
			if u.wantsPayload() {
				in.Payload = pluginapi.PayloadFull
			}
			u.changes(fields)
			for _, filter := range f.topics {
				filters[filter] = struct{}{}
			}
			everything = everything || len(f.topics) == 0
		}
		if !everything {
			in.Filters = slices.Sorted(maps.Keys(filters))
		}
		switch hookID(id) {
		case hookPublish, hookDeliver:
			in.MayChange = slices.Sorted(maps.Keys(fields))
		case hookSubscribe:
			in.MayChange = []pluginapi.Field{pluginapi.FieldQoS, pluginapi.FieldSubscription}
		}
		if hookID(id) == hookConnect {
			in.Payload = ""
		}
		out = append(out, in)
	}
	return out
}
