package users

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// rule is one grant and where it stands.
type rule struct {
	grant pluginapi.Grant
	node  ast.Node
}

// role is what users may have in common: rules, and what holds for users that
// say nothing of it themselves.
type role struct {
	rules      []rule
	quota      *pluginapi.Quota // without an account; nil for none
	durability pluginapi.Durability
}

// roles reads the roles of the file.
func (r *reader) roles(n ast.Node) map[string]*role {
	roles := make(map[string]*role)
	r.keyed(n, "roles", func(name string, _, value ast.Node) {
		ro := &role{}
		roles[name] = ro // also when it is wrong: who uses it is not
		r.mapping(value, "a role", r.roleFields(ro)...)
	})
	return roles
}

// roleFields are the keys that roles and users have in common.
func (r *reader) roleFields(ro *role) []field {
	return []field{
		{"quota", func(v ast.Node) { ro.quota = r.quota(v) }},
		{"durability", func(v ast.Node) { ro.durability = r.durability(v) }},
		{"allow", func(v ast.Node) { r.actions(v, "allow", false, &ro.rules) }},
		{"deny", func(v ast.Node) { r.actions(v, "deny", true, &ro.rules) }},
	}
}

// durability reads when something counts as kept.
func (r *reader) durability(n ast.Node) (d pluginapi.Durability) {
	s, ok := r.text(n, "durability")
	if ok && (s == "" || d.UnmarshalText([]byte(s)) != nil) {
		r.complain(n, "durability must be sync, interval or none")
	}
	return d
}

// actions reads what stands under allow or deny. Who may subscribe may also be
// delivered what the subscription matches; who may not, may neither.
func (r *reader) actions(n ast.Node, what string, deny bool, to *[]rule) {
	read := func(actions pluginapi.Action) func(ast.Node) {
		return func(v ast.Node) { r.rules(v, pluginapi.Grant{Deny: deny, Actions: actions}, to) }
	}
	r.mapping(n, what,
		field{"publish", read(pluginapi.Publish)},
		field{"subscribe", read(pluginapi.Subscribe | pluginapi.Receive)},
		field{"both", read(pluginapi.AllActions)},
	)
}

// rules reads a list of filters, or the only one. like is a grant without a
// filter.
func (r *reader) rules(n ast.Node, like pluginapi.Grant, to *[]rule) {
	items := []ast.Node{n}
	if s, ok := n.(*ast.SequenceNode); ok {
		items = s.Values
	}
	for _, item := range items {
		if ru, ok := r.rule(item, like); ok {
			*to = append(*to, ru)
		}
	}
}

// rule reads a filter, or a mapping with a filter and conditions.
func (r *reader) rule(n ast.Node, like pluginapi.Grant) (rule, bool) {
	ru := rule{grant: like, node: n}
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		return ru, r.filter(n, &ru.grant.Filter)
	}
	good := false
	r.mapping(n, "a rule",
		field{"filter", func(v ast.Node) { good, ru.node = r.filter(v, &ru.grant.Filter), v }},
		field{"max_qos", func(v ast.Node) {
			if like.Deny {
				r.complain(v, "max_qos limits what is allowed; a rule that denies can't have it")
				return
			}
			ru.grant.MaxQoS = r.qos(v)
		}},
		field{"retain", func(v ast.Node) {
			if like.Actions != pluginapi.Publish {
				r.complain(v, "retain is about publishing; it can stand under publish only")
				return
			}
			retain := r.boolean(v, "retain")
			ru.grant.Retain = &retain
		}},
	)
	if ru.grant.Filter == "" && !good {
		r.complain(n, "a rule needs a filter")
	}
	return ru, good
}

// filter reads a topic filter.
func (r *reader) filter(n ast.Node, to *string) bool {
	s, ok := r.text(n, "a topic filter")
	if !ok {
		return false
	}
	if err := checkFilter(s); err != nil {
		r.complain(n, "topic filter %s %v", quote(s), err)
		return false
	}
	*to = s
	return true
}

// anyHolds reports whether a filter of a rule that fits has a placeholder.
func anyHolds(rules []rule, mark string, fits func(rule) bool) bool {
	return slices.ContainsFunc(rules, func(ru rule) bool { return fits(ru) && strings.Contains(ru.grant.Filter, mark) })
}
