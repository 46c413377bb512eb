package jsonedit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSet(t *testing.T) {
	tests := []struct{ doc, path, value, want string }{
		{`{}`, "a", `1`, `{"a":1}`},
		{` { } `, "a", `1`, ` {"a":1 } `},
		{`{"a":1}`, "a", `"x"`, `{"a":"x"}`},
		{`{"a":1}`, "b", `2`, `{"a":1,"b":2}`},
		{"{\n  \"a\": 1\n}\n", "b", `2`, "{\n  \"a\": 1,\"b\":2\n}\n"},
		{"{ \"z\" : 1 , \"a\" : [ 1 , 2 ] }", "z", `0`, "{ \"z\" : 0 , \"a\" : [ 1 , 2 ] }"},
		{`{"a":{"b":{"c":1}},"d":2}`, "a.b.c", `9`, `{"a":{"b":{"c":9}},"d":2}`},
		{`{"a":{}}`, "a.b.c", `9`, `{"a":{"b":{"c":9}}}`},
		{`{"x":1.0}`, "a.b.c", `9`, `{"x":1.0,"a":{"b":{"c":9}}}`},
		{`{"n":12345678901234567890.123,"e":1E+2}`, "t", `1`, `{"n":12345678901234567890.123,"e":1E+2,"t":1}`},
		{`{"a":1,"a":2}`, "a", `3`, `{"a":3,"a":3}`},
		{`{"\u0061":1}`, "a", `2`, `{"\u0061":2}`},
		{`{"a.b":1,"a":{"b":2}}`, `a\.b`, `3`, `{"a.b":3,"a":{"b":2}}`},
		{`{"a":"}\"{,","b":1}`, "b", `2`, `{"a":"}\"{,","b":2}`},
		{`{"a":["]",{"b":1}]}`, "a.1.b", `2`, `{"a":["]",{"b":2}]}`},
		{`{"a":[1,2,3]}`, "a.1", `"two"`, `{"a":[1,"two",3]}`},
		{`[{"a":1}]`, "0.a", `2`, `[{"a":2}]`},
		{`{"a":[[]]}`, "b\"\n\x01ü", `2`, `{"a":[[]],"b\"\n\u0001ü":2}`},
	}
	for _, test := range tests {
		path, err := ParsePath(test.path)
		if err != nil {
			t.Fatal(err)
		}
		before := test.doc
		got, err := Set([]byte(test.doc), path, []byte(test.value))
		if err != nil || string(got) != test.want || test.doc != before {
			t.Errorf("%s: %s = %s gives %s, %v; want %s", test.doc, test.path, test.value, got, err, test.want)
		}
	}
}

func TestSetWhereItCannot(t *testing.T) {
	for _, test := range []struct{ doc, path string }{
		{`1`, "a"},
		{`"x"`, "a"},
		{`null`, "a"},
		{`{"a":1}`, "a.b"},
		{`{"a":null}`, "a.b.c"},
		{`{"a":[1]}`, "a.1"},
		{`{"a":[1]}`, "a.x"},
		{`{"a":[1]}`, "a.-1"},
		{`[]`, "0"},
		{`{"a":{},"a":"x"}`, "a.b"},
	} {
		path, err := ParsePath(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Set([]byte(test.doc), path, []byte(`1`)); !errors.Is(err, ErrNotThere) {
			t.Errorf("%s: %s gives %s, %v", test.doc, test.path, got, err)
		}
	}
}

func TestDelete(t *testing.T) {
	tests := []struct{ doc, path, want string }{
		{`{"a":1}`, "a", `{}`},
		{`{ "a" : 1 }`, "a", `{  }`},
		{`{"a":1,"b":2,"c":3}`, "a", `{"b":2,"c":3}`},
		{`{"a":1,"b":2,"c":3}`, "b", `{"a":1,"c":3}`},
		{`{"a":1, "b":2, "c":3}`, "c", `{"a":1, "b":2}`},
		{`{"a":1,"a":2,"a":3}`, "a", `{}`},
		{`{"a":1,"b":2,"a":3}`, "a", `{"b":2}`},
		{`{"a":1,"a":2,"b":3,"a":4,"a":5,"c":6,"a":7}`, "a", `{"b":3,"c":6}`},
		{`{"a":{"b":1,"c":2}}`, "a.b", `{"a":{"c":2}}`},
		{`{"a":{"b":1}}`, "a.x", `{"a":{"b":1}}`},
		{`{"a":1}`, "a.b.c", `{"a":1}`},
		{`{"a":[1,2,3]}`, "a.0", `{"a":[2,3]}`},
		{`{"a":[1,2,3]}`, "a.2", `{"a":[1,2]}`},
		{`{"a":[1]}`, "a.0", `{"a":[]}`},
		{`{"a":[1]}`, "a.7", `{"a":[1]}`},
		{`7`, "a", `7`},
	}
	for _, test := range tests {
		path, err := ParsePath(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := Delete([]byte(test.doc), path); string(got) != test.want {
			t.Errorf("%s without %s gives %s, want %s", test.doc, test.path, got, test.want)
		}
	}
}

func TestParsePath(t *testing.T) {
	for _, bad := range []string{"", ".", "a.", ".a", "a..b"} {
		if p, err := ParsePath(bad); err == nil {
			t.Errorf("%q: %q", bad, p)
		}
	}
	got, err := ParsePath(`a.b\.c\\.\d`)
	if err != nil || !slices.Equal(got, []string{"a", "b.c\\", `\d`}) {
		t.Errorf("%q, %v", got, err)
	}
}

// decode reads JSON with its numbers as they are written.
func decode(t *testing.T, doc []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return v
}

// modelSet is what Set does, done with maps. ok is false where it cannot.
func modelSet(v any, path []string, value any) (out any, ok bool) {
	m, isObject := v.(map[string]any)
	if !isObject {
		return nil, false
	}
	m = maps.Clone(m)
	if len(path) == 1 {
		m[path[0]] = value
		return m, true
	}
	inner, there := m[path[0]]
	if !there {
		inner = map[string]any{}
	}
	m[path[0]], ok = modelSet(inner, path[1:], value)
	return m, ok
}

func modelDelete(v any, path []string) any {
	m, isObject := v.(map[string]any)
	if !isObject {
		return v
	}
	m = maps.Clone(m)
	inner, there := m[path[0]]
	switch {
	case len(path) == 1:
		delete(m, path[0])
	case there:
		m[path[0]] = modelDelete(inner, path[1:])
	}
	return m
}

// plain reports whether maps can do what is to be done: no arrays on the way,
// no name twice.
func plain(doc []byte) bool {
	if bytes.IndexByte(doc, '[') >= 0 {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	seen := []map[string]bool{}
	key := false
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' {
				seen, key = append(seen, map[string]bool{}), true
			} else {
				seen, key = seen[:len(seen)-1], true
			}
			continue
		case string:
			if key && len(seen) > 0 {
				top := seen[len(seen)-1]
				if top[v] {
					return false
				}
				top[v] = true
				key = false
				continue
			}
		}
		key = true
	}
}

// FuzzEdit edits any document at any path: the result is valid, every
// other value is as it was, and maps agree.
func FuzzEdit(f *testing.F) {
	f.Add(`{"a":{"b":1},"c":[1,{"d":"}"}]}`, "a.b", `"x"`)
	f.Add(" { \"a\" : 1 , \"b\" : 2 } ", "b", `{}`)
	f.Add(`{"a":1,"a":{"x":2}}`, "a.x", `1`)
	f.Add(`{"\u0061":1}`, "a", `[]`)
	f.Add(`[[1,2],3]`, "0.1", `null`)
	f.Add(`{"a":"\\","b":"\""}`, "b", `1e5`)
	f.Fuzz(func(t *testing.T, doc, dotted, value string) {
		path, err := ParsePath(dotted)
		if err != nil || !utf8.ValidString(dotted) || !json.Valid([]byte(doc)) || !json.Valid([]byte(value)) {
			return
		}
		in := []byte(doc)
		value = strings.TrimSpace(value)
		set, setErr := Set(in, path, []byte(value))
		cut := Delete(in, path)
		if string(in) != doc {
			t.Fatal("the document was changed in place")
		}
		if setErr == nil {
			if !json.Valid(set) {
				t.Fatalf("not valid: %q", set)
			}
			again, err := Set(set, path, []byte(value))
			if err != nil || !bytes.Equal(again, set) {
				t.Fatalf("the same once more: %q, %v", again, err)
			}
		}
		if !json.Valid(cut) {
			t.Fatalf("not valid: %q", cut)
		}
		if !plain(in) || strings.ContainsRune(dotted, '\uFFFD') {
			return
		}
		before := decode(t, in)
		if want, ok := modelSet(before, path, decode(t, []byte(value))); ok != (setErr == nil) || ok && !reflect.DeepEqual(decode(t, set), want) {
			t.Fatalf("set: %q, %v; maps say %v, %v", set, setErr, want, ok)
		}
		if want := modelDelete(before, path); !reflect.DeepEqual(decode(t, cut), want) {
			t.Fatalf("delete: %q; maps say %v", cut, want)
		}
	})
}
