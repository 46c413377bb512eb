// Package jsonedit changes one field of a JSON document in its bytes. Everything
// else stays as it was written: the order of names, the spelling of numbers, the
// space between them, even names that come twice. Going through maps would lose
// all of that.
//
//	path, err := jsonedit.ParsePath("meta.received_at")
//	doc, err = jsonedit.Set(doc, path, []byte(`"2026-03-01T12:30:00Z"`))
//
// All functions may be called from many goroutines.
package jsonedit

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrNotThere is the error of [Set] if the path leads through something that is
// no object, or to an element that an array does not have.
var ErrNotThere = errors.New("path does not fit the document")

// Path leads to a field of a document: a name for each object on the way. A name
// that is a number is also an index into an array. It is not empty.
type Path []string

// ParsePath reads names joined by dots, "\." for a dot in a name. The error says
// that a name is empty.
func ParsePath(s string) (Path, error) {
	var path Path
	var name strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '.' || s[i+1] == '\\'):
			i++
			name.WriteByte(s[i])
		case c == '.':
			path = append(path, name.String())
			name.Reset()
		default:
			name.WriteByte(c)
		}
	}
	path = append(path, name.String())
	if slices.Contains(path, "") {
		return nil, errors.New("a name in the path is empty")
	}
	return path, nil
}

// Set returns doc with value at path; missing objects are made. doc and value
// must be valid JSON (see json.Valid), or it may panic. doc is not changed. The
// error is [ErrNotThere].
func Set(doc []byte, path Path, value []byte) ([]byte, error) {
	e := editor{doc: doc, path: path, value: value, set: true}
	return e.run()
}

// Delete returns doc without what is at path, and doc itself if there is
// nothing. doc must be valid JSON, or it may panic; it is not changed.
func Delete(doc []byte, path Path) []byte {
	e := editor{doc: doc, path: path}
	out, err := e.run()
	if err != nil {
		return doc // only setting fails
	}
	return out
}

// editor makes one change. It trusts that doc is valid.
type editor struct {
	doc   []byte
	path  Path
	value []byte
	set   bool

	out  []byte // what is done so far
	from int    // up to here doc was taken over
}

func (e *editor) run() ([]byte, error) {
	if _, err := e.inside(e.space(0), e.path); err != nil {
		return nil, err
	}
	if e.out == nil {
		return e.doc, nil
	}
	return append(e.out, e.doc[e.from:]...), nil
}

// replace puts parts in the place of doc[begin:end].
func (e *editor) replace(begin, end int, parts ...[]byte) {
	if e.out == nil {
		e.out = make([]byte, 0, len(e.doc)+len(e.value)+64)
	}
	e.out = append(e.out, e.doc[e.from:begin]...)
	for _, p := range parts {
		e.out = append(e.out, p...)
	}
	e.from = end
}

// inside makes the change somewhere in the value at i and returns its end.
func (e *editor) inside(i int, path Path) (int, error) {
	switch e.doc[i] {
	case '{':
		return e.members(i, path)
	case '[':
		return e.elements(i, path)
	}
	if e.set {
		return 0, ErrNotThere
	}
	return e.skip(i), nil
}

// members goes through the object at i. A name that comes twice is changed
// twice, so that it does not matter which of them a reader takes.
func (e *editor) members(i int, path Path) (int, error) {
	l := list{end: i + 1}
	found := false
	i = e.space(i + 1)
	for e.doc[i] != '}' {
		begin := i
		i = e.skip(i)
		hit := sameName(e.doc[begin:i], path[0])
		i = e.space(e.space(i) + 1) // over the colon
		var err error
		if i, err = e.item(&l, begin, i, hit, path); err != nil {
			return 0, err
		}
		found = found || hit
	}
	if !found && e.set {
		comma := []byte(",")
		if !l.kept {
			comma = nil
		}
		e.replace(l.end, l.end, comma, e.nested(path))
	}
	return i + 1, nil
}

// elements goes through the array at i.
func (e *editor) elements(i int, path Path) (int, error) {
	index, err := strconv.Atoi(path[0])
	if err != nil {
		index = -1
	}
	l := list{end: i + 1}
	i = e.space(i + 1)
	for n := 0; e.doc[i] != ']'; n++ {
		if i, err = e.item(&l, i, i, n == index, path); err != nil {
			return 0, err
		}
		if n == index {
			index = -2 // found
		}
	}
	if index != -2 && e.set {
		return 0, ErrNotThere
	}
	return i + 1, nil
}

// list is how far the members of an object or an array are done.
type list struct {
	end  int  // of the last one, or after the bracket
	kept bool // one of them stays
}

// item handles the member that begins at begin and has its value at i, and
// returns where the next begins.
func (e *editor) item(l *list, begin, i int, hit bool, path Path) (int, error) {
	removed := false
	var end int
	switch {
	case !hit:
		end = e.skip(i)
	case len(path) > 1:
		var err error
		if end, err = e.inside(i, path[1:]); err != nil {
			return 0, err
		}
	case e.set:
		end = e.skip(i)
		e.replace(i, end, e.value)
	default:
		end = e.skip(i)
		removed = true
	}
	next := e.space(end)
	last := e.doc[next] != ','
	if !last {
		next = e.space(next + 1)
	}
	switch {
	case !removed:
		l.kept = true
	case l.kept: // with the comma before it
		e.replace(l.end, end)
	case last:
		e.replace(begin, end)
	default: // with the comma after it
		e.replace(begin, next)
	}
	l.end = end
	return next, nil
}

// nested is the member that puts the value at a path that is not there yet.
func (e *editor) nested(path Path) []byte {
	var b []byte
	for i, name := range path {
		if i > 0 {
			b = append(b, '{')
		}
		b = append(AppendString(b, name), ':')
	}
	b = append(b, e.value...)
	return append(b, strings.Repeat("}", len(path)-1)...)
}

func (e *editor) space(i int) int {
	for i < len(e.doc) && (e.doc[i] == ' ' || e.doc[i] == '\n' || e.doc[i] == '\t' || e.doc[i] == '\r') {
		i++
	}
	return i
}

// skip returns the end of the value at i.
func (e *editor) skip(i int) int {
	switch e.doc[i] {
	case '"':
		return StringEnd(e.doc, i)
	case '{', '[':
		for depth := 0; ; {
			switch e.doc[i] {
			case '"':
				i = StringEnd(e.doc, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
	}
	for i < len(e.doc) && !strings.ContainsRune(",]} \n\t\r", rune(e.doc[i])) {
		i++
	}
	return i
}

// StringEnd returns where the string ends whose first quote is doc[i]. doc must
// be valid JSON.
func StringEnd(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// sameName compares a quoted name with a plain one.
func sameName(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	var s string
	return json.Unmarshal(quoted, &s) == nil && s == name
}

// AppendString appends s as a JSON string, in quotes. What is not UTF-8 becomes
// U+FFFD.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}
