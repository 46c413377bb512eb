package users

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// reader walks the nodes of a YAML file and gathers problems. It is as strict
// as can be: unknown and repeated keys, wrong types, anchors, aliases, merge
// keys and tags are all problems. Decoding into structs would find most of
// them too, but only one at a time, of several unknown keys any, and with the
// words of a Go programmer.
type reader struct {
	name     string
	lines    []string
	problems []Problem
	warnings []Problem
}

// complain records a problem at a node.
func (r *reader) complain(n ast.Node, format string, args ...any) {
	r.problems = append(r.problems, r.problem(tokenOf(n), 0, fmt.Sprintf(format, args...)))
}

// warn records what should be looked at.
func (r *reader) warn(n ast.Node, format string, args ...any) {
	r.warnings = append(r.warnings, r.problem(tokenOf(n), 0, fmt.Sprintf(format, args...)))
}

// complainSecret is complain for a node whose text must not be shown.
func (r *reader) complainSecret(n ast.Node, format string, args ...any) {
	t := tokenOf(n)
	r.problems = append(r.problems, r.problem(t, columnOf(t), fmt.Sprintf(format, args...)))
}

// complainKey is complain for a key of which nobody knows what its value is: a
// password, if it is password misspelt.
func (r *reader) complainKey(n ast.Node, format string, args ...any) {
	t := tokenOf(n)
	after := columnOf(t) + utf8.RuneCountInString(t.Value) + len(":")
	r.problems = append(r.problems, r.problem(t, after, fmt.Sprintf(format, args...)))
}

// problem describes a problem at a token; see excerpt for hide.
func (r *reader) problem(t *token.Token, hide int, message string) Problem {
	p := Problem{File: r.name, Message: printable(message)}
	if t == nil || t.Position == nil {
		return p
	}
	p.Line = min(max(t.Position.Line, 1), len(r.lines))
	p.Column = columnOf(t)
	p.Excerpt = excerpt(r.lines[p.Line-1], p.Line, p.Column, hide)
	return p
}

// tokenOf returns where a node begins. The parser's answer for a mapping is its
// first colon.
func tokenOf(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

func columnOf(t *token.Token) int { return max(t.Position.Column, 1) }

// root parses the file and returns its only document's body; nil if there is a
// problem, or nothing in the file.
func (r *reader) root(data []byte) ast.Node {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey()) // mapping finds them, with better words
	if err != nil {
		r.problems = append(r.problems, r.syntaxProblem(err))
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType:
		case body != nil:
			r.complain(doc.Body, "a second document begins here; a users file is one document")
		default:
			body = doc.Body
		}
	}
	return body
}

// syntaxProblem turns an error of the YAML parser into a problem. The parser's
// own excerpt is not used: it shows neighbouring lines, and in them hashes.
func (r *reader) syntaxProblem(err error) Problem {
	located, ok := err.(yaml.Error) //nolint:errorlint // the parser does not wrap it
	if !ok {
		return Problem{File: r.name, Message: "no YAML: " + firstLine(err.Error())}
	}
	message := firstLine(located.GetMessage())
	if strings.Contains(message, "'\t'") { // which nobody would see
		message = "a tab can't stand here; use blanks"
	}
	return r.problem(located.GetToken(), 0, "is not valid YAML: "+message)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// field is one key that a mapping may have, and what reads its value.
type field struct {
	key  string
	read func(ast.Node)
}

// entries returns the entries of a mapping; false, with a problem, if n is
// something else. what names n: "a user", "limits".
func (r *reader) entries(n ast.Node, what string) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	r.complain(n, "%s must be a mapping with keys and values, not %s", what, kind(n))
	return nil, false
}

// mapping reads a mapping with known keys.
func (r *reader) mapping(n ast.Node, what string, fields ...field) {
	r.keyed(n, what, func(key string, keyNode, value ast.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			r.complainKey(keyNode, "unknown key%s; %s may have %s", shownKey(key), what, keyList(fields))
			return
		}
		fields[i].read(value)
	})
}

// keyed reads a mapping with any keys, each of them once.
func (r *reader) keyed(n ast.Node, what string, read func(key string, keyNode, value ast.Node)) {
	entries, ok := r.entries(n, what)
	if !ok {
		return
	}
	seen := make(map[string]int, len(entries))
	for _, entry := range entries {
		key, ok := r.text(entry.Key, "a key")
		if !ok {
			continue
		}
		if line, twice := seen[key]; twice {
			r.complain(entry.Key, "key%s stands here for the second time; the first is in line %d", shownKey(key), line)
			continue
		}
		seen[key] = entry.Key.GetToken().Position.Line
		read(key, entry.Key, entry.Value)
	}
}

// shownKey shows a key in a message, unless it may be a piece of a hash that was
// not put in quotes.
func shownKey(key string) string {
	if strings.Contains(key, "$") {
		return ""
	}
	return " " + quote(key)
}

func keyList(fields []field) string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return strings.Join(keys, ", ")
}

// list returns the items of a sequence; false, with a problem, if n is
// something else.
func (r *reader) list(n ast.Node, what string) ([]ast.Node, bool) {
	if s, ok := n.(*ast.SequenceNode); ok {
		return s.Values, true
	}
	r.complain(n, "%s must be a list, not %s", what, kind(n))
	return nil, false
}

// text returns a string. Numbers are taken as they are written, so that a user
// may be called 007; what YAML reads as something else needs quotes.
func (r *reader) text(n ast.Node, what string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode:
		return n.Token.Value, true
	case *ast.FloatNode:
		return n.Token.Value, true
	case *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		r.complain(n, "%s must be a string; put %s in quotes", what, n.GetToken().Value)
	default:
		r.complain(n, "%s must be a string, not %s", what, kind(n))
	}
	return "", false
}

// boolean returns true or false.
func (r *reader) boolean(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.complain(n, "%s must be true or false, not %s", what, kind(n))
		return false
	}
	return b.Value
}

// texts returns the strings of a list, or the only one.
func (r *reader) texts(n ast.Node, what string, read func(item ast.Node, s string)) {
	items := []ast.Node{n}
	if s, ok := n.(*ast.SequenceNode); ok {
		items = s.Values
	}
	for _, item := range items {
		if s, ok := r.text(item, what); ok {
			read(item, s)
		}
	}
}

// kind names the kind of a node for a person.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "a string"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor, alias or merge key (share rules with roles)"
	case *ast.TagNode:
		return "a tag"
	case *ast.MappingKeyNode:
		return "a complex key"
	default:
		return "this"
	}
}
