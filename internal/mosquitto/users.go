package mosquitto

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
)

// access is what an ACL file says about somebody.
type access struct {
	read, write, both, deny []string
}

func (a *access) add(kind, topic string) bool {
	switch kind {
	case "read":
		a.read = append(a.read, topic)
	case "write":
		a.write = append(a.write, topic)
	case "readwrite", "":
		a.both = append(a.both, topic)
	case "deny":
		a.deny = append(a.deny, topic)
	default:
		return false
	}
	return true
}

func (a *access) empty() bool {
	return a == nil || len(a.read)+len(a.write)+len(a.both)+len(a.deny) == 0
}

// rules are the keys allow and deny of authfile.
func (a *access) rules() yaml.MapSlice {
	var allow, out yaml.MapSlice
	for _, k := range []struct {
		key    string
		topics []string
	}{{"publish", a.write}, {"subscribe", a.read}, {"both", a.both}} {
		if len(k.topics) > 0 {
			allow = append(allow, yaml.MapItem{Key: k.key, Value: k.topics})
		}
	}
	if allow != nil {
		out = append(out, yaml.MapItem{Key: "allow", Value: allow})
	}
	if len(a.deny) > 0 {
		out = append(out, yaml.MapItem{Key: "deny", Value: yaml.MapSlice{{Key: "both", Value: a.deny}}})
	}
	return out
}

// acl is an ACL file.
type acl struct {
	anonymous, everybody access // everybody: of the patterns
	users                map[string]*access
	lines                map[string]int // where a user begins
}

// everything is what clients may without an ACL file.
func everything() *access { return &access{both: []string{"#"}, read: []string{"$SYS/#"}} }

func (t *translation) readACL(path string) (*acl, error) {
	a := &acl{users: make(map[string]*access), lines: make(map[string]int)}
	to := &a.anonymous
	err := readLines(path, func(line int, text string) error {
		word, rest, _ := strings.Cut(text, " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "user":
			if a.users[rest] == nil {
				a.users[rest], a.lines[rest] = new(access), line
			}
			to = a.users[rest]
		case "topic", "pattern":
			kind, topic, found := strings.Cut(rest, " ")
			if !found || !new(access).add(kind, "") {
				kind, topic = "", rest // the topic alone, which may have blanks in it
			}
			topic = strings.TrimSpace(topic)
			if why := unusable(topic, word == "pattern"); why != "" {
				t.note(path, line, "%s: %s", topic, why)
				return nil
			}
			if word == "pattern" {
				a.everybody.add(kind, topic)
			} else {
				to.add(kind, topic)
			}
		default:
			t.note(path, line, "%q is no line of an ACL file", word)
		}
		return nil
	})
	return a, err
}

// unusable says why a topic filter can't be taken over.
func unusable(topic string, pattern bool) string {
	levels := strings.Split(topic, "/")
	for i, l := range levels {
		switch {
		case topic == "":
			return "a topic is missing"
		case strings.Contains(l, "#") && (l != "#" || i < len(levels)-1), strings.Contains(l, "+") && l != "+":
			return "that is no topic filter; it is left out"
		case (strings.Contains(l, "%c") || strings.Contains(l, "%u")) && l != "%c" && l != "%u":
			if pattern {
				return "%c and %u have to be a whole level here; it is left out"
			}
			return "%c and %u stand for something in every rule here; it is left out"
		case !pattern && (l == "%c" || l == "%u"):
			return "%c and %u stand for something in every rule here; it is left out"
		}
	}
	return ""
}

// credential is a line of a password file.
type credential struct {
	name, hash string
	line       int
}

func (t *translation) readPasswords(path string) (list []credential, err error) {
	err = readLines(path, func(line int, text string) error {
		name, hash, found := strings.Cut(text, ":")
		if !found || name == "" || hash == "" {
			t.note(path, line, "there is no user and password; it is left out")
			return nil
		}
		switch _, err := password.Parse(hash); {
		case err == nil:
		case errors.Is(err, password.ErrUnknownScheme) && !strings.HasPrefix(hash, "$"):
			// As written for mosquitto_passwd -U.
			if hash, err = password.Hash([]byte(hash), password.Params{}); err != nil {
				return err
			}
			t.note(path, line, "the password of %s is not hashed; it is now", name)
		default:
			t.note(path, line, "the password of %s: %v; the user is left out", name, err)
			return nil
		}
		list = append(list, credential{name, hash, line})
		return nil
	})
	return list, err
}

// usersFile makes authfile's file.
func (t *translation) usersFile() (yaml.MapSlice, error) {
	s := t.security
	var rules *acl
	var err error
	if s.aclFile != "" {
		if rules, err = t.readACL(s.aclFile); err != nil {
			return nil, err
		}
	}
	var known []credential
	if s.passwordFile != "" {
		if known, err = t.readPasswords(s.passwordFile); err != nil {
			return nil, err
		}
	}
	var list []yaml.MapSlice
	role := ""
	if rules != nil && !rules.everybody.empty() {
		role = "everybody"
	}
	seen := make(map[string]bool)
	for _, c := range known {
		if seen[c.name] {
			t.note(s.passwordFile, c.line, "user %s stands here for the second time; the first one counts", c.name)
			continue
		}
		seen[c.name] = true
		u := yaml.MapSlice{{Key: "name", Value: c.name}, {Key: "password", Value: c.hash}}
		list = append(list, t.withRules(u, c.name, rules, role))
	}
	if t.certified {
		for _, name := range t.aclUsers(rules) {
			if !seen[name] {
				u := yaml.MapSlice{{Key: "name", Value: name}, {Key: "certificate", Value: yaml.MapSlice{{Key: t.certificateField(), Value: name}}}}
				list = append(list, t.withRules(u, name, rules, role))
				seen[name] = true
			}
		}
	}
	for _, name := range t.aclUsers(rules) {
		if !seen[name] {
			t.note(s.aclFile, rules.lines[name], "user %s has no password; it is left out", name)
		}
	}
	var out yaml.MapSlice
	if role != "" {
		out = append(out, yaml.MapItem{Key: "roles", Value: yaml.MapSlice{{Key: role, Value: rules.everybody.rules()}}})
	}
	if len(list) > 0 {
		out = append(out, yaml.MapItem{Key: "users", Value: list})
	}
	if s.anonymous {
		a := everything()
		if rules != nil {
			a = &rules.anonymous
		}
		section := a.rules()
		if p := t.anonymousPatterns(rules); !p.empty() {
			merged := access{
				read: append(a.read, p.read...), write: append(a.write, p.write...),
				both: append(a.both, p.both...), deny: append(a.deny, p.deny...),
			}
			section = merged.rules()
		}
		out = append(out, yaml.MapItem{Key: "anonymous", Value: section})
	}
	return out, nil
}

// withRules adds what a user may do.
func (t *translation) withRules(u yaml.MapSlice, name string, rules *acl, role string) yaml.MapSlice {
	if rules == nil {
		return append(u, everything().rules()...)
	}
	if role != "" {
		u = append(u, yaml.MapItem{Key: "roles", Value: []string{role}})
	}
	if a := rules.users[name]; !a.empty() {
		u = append(u, a.rules()...)
	}
	return u
}

// anonymousPatterns are those that mean something without a user name.
func (t *translation) anonymousPatterns(rules *acl) *access {
	if rules == nil {
		return nil
	}
	named := func(list []string) (out []string) {
		for _, s := range list {
			if !strings.Contains(s, "%u") {
				out = append(out, s)
			}
		}
		return out
	}
	e := &rules.everybody
	return &access{read: named(e.read), write: named(e.write), both: named(e.both), deny: named(e.deny)}
}
