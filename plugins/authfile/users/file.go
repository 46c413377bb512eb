package users

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
)

// MaxSize is the greatest size of a users file in bytes: some 200,000 users.
const MaxSize = 64 << 20

// Load reads and checks the users file at path. The error is an [*Error] if
// the file could be read, and else one of package os.
func Load(path string) (*Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, newError([]Problem{{File: path, Message: "is not a file"}})
	case info.Size() > MaxSize:
		return nil, newError([]Problem{{File: path, Message: fmt.Sprintf("is larger than %d MiB", MaxSize>>20)}})
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	s, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	if writableByAll(info.Mode()) {
		s.warnings = append(s.warnings, Problem{File: path, Message: "everyone on this machine may write to it: chmod o-w"})
	}
	return s, nil
}

// Parse checks the content of a users file; name is what problems call it. The
// error is an [*Error]. data is not kept.
func Parse(name string, data []byte) (*Set, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	r := &reader{name: name, lines: strings.Split(string(data), "\n")}
	s := &Set{byName: make(map[string]*User)}
	if p, ok := r.encodingProblem(); !ok {
		return nil, newError([]Problem{p})
	}
	root := r.root(data)
	switch {
	case root != nil:
		r.file(root, s)
	case len(r.problems) == 0:
		r.problems = append(r.problems, Problem{File: name, Message: emptyMessage})
	}
	if len(r.problems) > 0 {
		return nil, newError(r.problems)
	}
	if len(s.digests) == 0 {
		decoy, err := password.Parse(decoyHash)
		if err != nil {
			return nil, fmt.Errorf("hash for unknown users: %w", err)
		}
		s.digests = []password.Digest{decoy}
	}
	s.warnings = r.warnings
	return s, nil
}

// emptyMessage refuses a file that lets nobody in: most likely somebody is
// still writing it.
const emptyMessage = "has neither users nor rules for anonymous clients"

// encodingProblem finds the first line that is not UTF-8.
func (r *reader) encodingProblem() (Problem, bool) {
	i := slices.IndexFunc(r.lines, func(l string) bool { return !utf8.ValidString(l) })
	if i < 0 {
		return Problem{}, true
	}
	return Problem{File: r.name, Line: i + 1, Column: 1, Message: "is not UTF-8"}, false
}

// file reads the whole file. Roles come first, since users refer to them.
func (r *reader) file(root ast.Node, s *Set) {
	var roles, users, anonymous ast.Node
	keep := func(to *ast.Node) func(ast.Node) { return func(v ast.Node) { *to = v } }
	r.mapping(root, "a users file",
		field{"users", keep(&users)},
		field{"roles", keep(&roles)},
		field{"anonymous", keep(&anonymous)},
	)
	known := map[string]*role{}
	if roles != nil {
		known = r.roles(roles)
	}
	if users != nil {
		r.users(users, known, s)
	}
	if anonymous != nil {
		s.anonymous = r.anonymous(anonymous, known)
	}
	if len(r.problems) == 0 && s.anonymous == nil && len(s.byName) == 0 {
		r.complain(root, emptyMessage)
	}
}
