package users

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// account gathers what the file says about one user.
type account struct {
	User
	nameNode, passwordNode ast.Node
	certificateNode        ast.Node
	own                    role // what stands with the user itself
	roles                  []*role
	idNodes, prefixNodes   []ast.Node
}

// rules are the user's own and those of its roles.
func (a *account) rules() []rule {
	rules := slices.Clone(a.own.rules)
	for _, ro := range a.roles {
		rules = append(rules, ro.rules...)
	}
	return rules
}

// quota is the user's own, or else that of the first of its roles that has one.
func (a *account) quota() *pluginapi.Quota {
	for _, ro := range append([]*role{&a.own}, a.roles...) {
		if ro.quota != nil {
			q := *ro.quota
			q.Account = a.account()
			return &q
		}
	}
	return nil
}

// durability is the user's own, or else the strictest of its roles.
func (a *account) durability() pluginapi.Durability {
	d := a.own.durability
	if d != pluginapi.DurabilityUnstated {
		return d
	}
	for _, ro := range a.roles {
		if d == pluginapi.DurabilityUnstated || ro.durability != pluginapi.DurabilityUnstated && ro.durability < d {
			d = ro.durability
		}
	}
	return d
}

// users reads the list of users.
func (r *reader) users(n ast.Node, roles map[string]*role, s *Set) {
	items, ok := r.list(n, "users")
	if !ok {
		return
	}
	first := make(map[string]int, len(items))
	for _, item := range items {
		a := r.account(item, roles)
		if a.nameNode == nil {
			continue
		}
		if line, twice := first[a.Name]; twice {
			r.complain(a.nameNode, "user %s stands here for the second time; the first is in line %d", quote(a.Name), line)
			continue
		}
		first[a.Name] = a.nameNode.GetToken().Position.Line
		u := r.finish(a)
		s.byName[a.Name] = u
		if a.passwordNode != nil {
			s.digests = append(s.digests, a.Password)
		} else {
			s.certified = append(s.certified, u)
		}
	}
}

// account reads one user with a name and a password.
func (r *reader) account(n ast.Node, roles map[string]*role) *account {
	a := &account{}
	fields := append([]field{
		{"name", func(v ast.Node) { r.username(v, a) }},
		{"password", func(v ast.Node) { r.password(v, a) }},
		{"certificate", func(v ast.Node) { r.certificates(v, a) }},
	}, r.userFields(a, roles)...)
	before := len(r.problems)
	r.mapping(n, "a user", fields...)
	if len(r.problems) > before {
		return a // what is missing may be what was misspelt
	}
	switch {
	case a.nameNode == nil:
		r.complain(n, "a user needs a name")
	case a.passwordNode == nil && a.certificateNode == nil:
		r.complain(a.nameNode, "user %s has no password; \"broker password\" makes a hash for it", quote(a.Name))
	}
	return a
}

// anonymous reads the rules for clients that give no user name.
func (r *reader) anonymous(n ast.Node, roles map[string]*role) *User {
	a := &account{nameNode: n}
	r.mapping(n, "anonymous", r.userFields(a, roles)...)
	for _, ru := range a.own.rules {
		if strings.Contains(ru.grant.Filter, usernameMark) {
			r.complain(ru.node, "%%u matches nothing here: an anonymous client has no user name")
		}
	}
	return r.finish(a)
}

// userFields are the keys that the anonymous user has too.
func (r *reader) userFields(a *account, roles map[string]*role) []field {
	return append([]field{
		{"disabled", func(v ast.Node) { a.Disabled = r.boolean(v, "disabled") }},
		{"client_id", func(v ast.Node) { a.idNodes = r.clientIDs(v, &a.clientIDs) }},
		{"client_id_prefix", func(v ast.Node) { a.prefixNodes = r.clientIDs(v, &a.prefixes) }},
		{"mountpoint", func(v ast.Node) { r.mountpoint(v, a) }},
		{"limits", func(v ast.Node) { r.limits(v, &a.Limits) }},
		{"roles", func(v ast.Node) { a.roles = r.rolesOf(v, roles) }},
	}, r.roleFields(&a.own)...)
}

// finish puts a user together and checks what takes more than one key.
func (r *reader) finish(a *account) *User {
	u, rules := &a.User, a.rules()
	u.Grants = make([]pluginapi.Grant, 0, len(rules))
	for _, ru := range rules {
		u.Grants = append(u.Grants, ru.grant)
	}
	u.deniesByID = anyHolds(rules, clientIDMark, func(ru rule) bool { return ru.grant.Deny })
	r.expandIDs(u.clientIDs, a.idNodes, u.Name)
	r.expandIDs(u.prefixes, a.prefixNodes, u.Name)
	u.HasPassword = a.passwordNode != nil
	u.Quota, u.Durability = a.quota(), a.durability()
	for i := range u.certificates {
		u.certificates[i].expand(u.Name)
	}
	if strings.ContainsAny(u.Name, "/+#") && anyHolds(rules, usernameMark, func(rule) bool { return true }) {
		r.complain(a.nameNode, "user name %s contains '/', '+' or '#', so that %%u in its rules matches nothing", quote(u.Name))
	}
	if !u.Disabled && !slices.ContainsFunc(u.Grants, func(g pluginapi.Grant) bool { return !g.Deny }) {
		r.warn(a.nameNode, "%s can connect, but may neither publish nor subscribe: no rule allows it", called(u.Name))
	}
	return u
}

func called(name string) string {
	if name == "" {
		return "the anonymous user"
	}
	return "user " + quote(name)
}

// username reads a user's name.
func (r *reader) username(n ast.Node, a *account) {
	s, ok := r.mqttString(n, "name")
	if ok {
		a.Name, a.nameNode = s, n
	}
}

// password reads a user's hash. No problem that it reports shows the text: it
// may well be the password itself.
func (r *reader) password(n ast.Node, a *account) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		r.complainSecret(n, "password must be a hash, as \"broker password\" makes it, in one line")
		return
	}
	d, err := password.Parse(s.Value)
	if err != nil {
		r.complainSecret(n, "%s", hashMessage(s.Value, err))
		return
	}
	a.Password, a.passwordNode = d, n
}

// hashMessage tells what to do about a password that is no good hash.
func hashMessage(s string, err error) string {
	switch {
	case errors.Is(err, password.ErrUnknownScheme):
		return fmt.Sprintf("password must be a hash, as \"broker password\" makes it: %v", err)
	case strings.HasPrefix(s, "$argon2id$") && !strings.Contains(s, ","):
		return "password hash ends at its first comma: inside {} it must be in quotes"
	}
	return err.Error()
}

// clientIDs reads identifiers or prefixes of them.
func (r *reader) clientIDs(n ast.Node, to *[]string) (nodes []ast.Node) {
	before := len(r.problems)
	r.texts(n, "a client id", func(item ast.Node, _ string) {
		if s, ok := r.mqttString(item, "a client id"); ok {
			*to = append(*to, s)
			nodes = append(nodes, item)
		}
	})
	if len(*to) == 0 && len(r.problems) == before {
		r.complain(n, "an empty list allows no client id at all; leave it out to allow all")
	}
	return nodes
}

// expandIDs puts the user name in the place of %u.
func (r *reader) expandIDs(ids []string, nodes []ast.Node, username string) {
	for i, id := range ids {
		if username == "" && strings.Contains(id, usernameMark) {
			r.complain(nodes[i], "%%u stands for nothing here: an anonymous client has no user name")
		}
		ids[i] = strings.ReplaceAll(id, usernameMark, username)
	}
}

// mqttString reads a string that can be part of a CONNECT and is not empty.
func (r *reader) mqttString(n ast.Node, what string) (string, bool) {
	s, ok := r.text(n, what)
	switch {
	case !ok:
	case s == "":
		r.complain(n, "%s must not be empty", what)
		ok = false
	case len(s) > 65535 || strings.Contains(s, "\x00"):
		r.complain(n, "%s must have at most 65535 bytes and no U+0000", what)
		ok = false
	}
	return s, ok
}

// mountpoint reads what is put before all topics of a user.
func (r *reader) mountpoint(n ast.Node, a *account) {
	s, ok := r.text(n, "mountpoint")
	switch {
	case !ok:
	case checkSyntax(s) != nil || strings.ContainsAny(s, "+#") || s[0] == '$':
		r.complain(n, "mountpoint must be the beginning of a topic, without wildcards and without '$' in front")
	case !strings.HasSuffix(s, "/"):
		r.complain(n, "mountpoint must end with a slash, or the topics of its users are not below it")
	case strings.Contains(s, clientIDMark) || strings.Contains(s, usernameMark):
		r.complain(n, "mountpoint can't hold %%c or %%u")
	default:
		a.Mountpoint = s
	}
}

// rolesOf returns the roles that a user has.
func (r *reader) rolesOf(n ast.Node, known map[string]*role) (roles []*role) {
	r.texts(n, "a role", func(item ast.Node, name string) {
		ro, ok := known[name]
		switch {
		case ok:
			roles = append(roles, ro)
		case len(known) == 0:
			r.complain(item, "unknown role %s; the file has no roles", quote(name))
		default:
			r.complain(item, "unknown role %s; there are %s", quote(name), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	})
	return roles
}
