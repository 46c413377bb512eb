package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// variable is ${NAME} or ${NAME:-default} in a value; $${ stands for ${.
var variable = regexp.MustCompile(`\$?\$\{([^}]*)\}`)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// decodeExpanded decodes a text in whose values variables of the environment
// stand. They are put in when the YAML has been read, so that no variable can
// change what the file says elsewhere.
func decodeExpanded(text []byte, cfg *config) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return err
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		body, err := expand(doc.Body, os.LookupEnv)
		if err != nil {
			return err
		}
		return yaml.NewDecoder(bytes.NewReader(nil), yaml.Strict()).DecodeFromNode(body, cfg)
	}
	return nil
}

// expand replaces variables in the values below a node.
func expand(n ast.Node, lookup func(string) (string, bool)) (ast.Node, error) {
	var err error
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			if v.Value, err = expand(v.Value, lookup); err != nil {
				return nil, err
			}
		}
	case *ast.MappingValueNode:
		n.Value, err = expand(n.Value, lookup)
	case *ast.SequenceNode:
		for i, v := range n.Values {
			if n.Values[i], err = expand(v, lookup); err != nil {
				return nil, err
			}
		}
	case *ast.LiteralNode:
		_, err = expand(n.Value, lookup)
	case *ast.StringNode:
		return expandString(n, lookup)
	}
	return n, err
}

// expandString replaces the variables of one value. One that is written without
// quotes is what its text would be: a number, true, or nothing at all.
func expandString(n *ast.StringNode, lookup func(string) (string, bool)) (ast.Node, error) {
	if !strings.Contains(n.Value, "${") {
		return n, nil
	}
	var wrong error
	text := variable.ReplaceAllStringFunc(n.Value, func(s string) string {
		if strings.HasPrefix(s, "$$") {
			return s[1:]
		}
		name, fallback, hasFallback := strings.Cut(s[2:len(s)-1], ":-")
		value, ok := lookup(name)
		switch {
		case !variableName.MatchString(name):
			wrong = badValue(n, "%q is no name of a variable; write ${NAME}, ${NAME:-default}, or $${ for the characters themselves", name)
		case ok && (value != "" || !hasFallback):
			return value
		case hasFallback:
			return fallback
		default:
			wrong = badValue(n, "the environment has no %s; write ${%s:-default} for a value without it", name, name)
		}
		return ""
	})
	if wrong != nil {
		return nil, wrong
	}
	plain := n.Token.Type != token.SingleQuoteType && n.Token.Type != token.DoubleQuoteType
	n.Value, n.Token.Value = text, text
	if !plain {
		return n, nil
	}
	parsed, err := parser.ParseBytes([]byte(text), 0)
	if err != nil || len(parsed.Docs) != 1 {
		return n, nil //nolint:nilerr // no YAML by itself: a text
	}
	switch v := parsed.Docs[0].Body.(type) {
	case nil:
		return ast.Null(token.New("null", "null", n.Token.Position)), nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		v.GetToken().Position = n.Token.Position
		return v, nil
	}
	return n, nil
}

// hasVariables reports whether a text may have variables in it.
func hasVariables(text []byte) bool { return bytes.Contains(text, []byte("${")) }
