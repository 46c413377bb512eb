package strictjson

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Path    string // JSON pointer; "" is the whole configuration
	Message string // one line, lower case
}

var (
	durationType        = reflect.TypeFor[time.Duration]()
	jsonUnmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Decode decodes a JSON document into what into points to. Keys that are
// missing leave what is there; so does null, except that it empties pointers,
// maps and slices. If there are problems nothing is changed. No document at all
// is an empty object.
func Decode(data []byte, into any) []Problem {
	p := reflect.ValueOf(into)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return []Problem{{Message: fmt.Sprintf("cannot decode into %T: it is no pointer to a struct", into)}}
	}
	tree, err := parse(data)
	if err != nil {
		return []Problem{{Message: err.Error()}}
	}
	d := new(decoder)
	scratch := reflect.New(p.Elem().Type()).Elem()
	scratch.Set(p.Elem())
	d.value("", tree, scratch, nil)
	if len(d.problems) == 0 {
		p.Elem().Set(scratch)
	}
	return d.problems
}

// parse reads one JSON document, its numbers as they are written.
func parse(data []byte) (any, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	err := d.Decode(&tree)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something behind it")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("not a JSON document: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return tree, nil
}

// decoder collects problems.
type decoder struct{ problems []Problem }

func (d *decoder) problem(path, format string, args ...any) {
	d.problems = append(d.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// value decodes tree into dst, which can be set. enum restricts strings.
func (d *decoder) value(path string, tree any, dst reflect.Value, enum []string) {
	if tree == nil {
		switch dst.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
			dst.SetZero()
		}
		return
	}
	if isLeaf(dst.Type()) {
		d.custom(path, tree, dst, enum)
		return
	}
	switch dst.Kind() {
	case reflect.Pointer:
		elem := reflect.New(dst.Type().Elem())
		if !dst.IsNil() {
			elem.Elem().Set(dst.Elem())
		}
		d.value(path, tree, elem.Elem(), enum)
		dst.Set(elem)
	case reflect.Struct:
		d.object(path, tree, dst)
	case reflect.Map:
		d.mapping(path, tree, dst, enum)
	case reflect.Slice, reflect.Array:
		d.list(path, tree, dst, enum)
	case reflect.Interface:
		d.free(path, tree, dst)
	default:
		d.scalar(path, tree, dst, enum)
	}
}

// object decodes the fields of a struct.
func (d *decoder) object(path string, tree any, dst reflect.Value) {
	m, ok := tree.(map[string]any)
	if !ok {
		d.problem(path, "must be an object, not %s", kindName(tree))
		return
	}
	fields := fieldsOf(dst.Type())
	known := make(map[string]bool, len(fields))
	for _, f := range fields {
		known[f.name] = true
		sub, present := m[f.name]
		switch {
		case f.required && sub == nil:
			d.problem(path+"/"+escape(f.name), "is missing")
		case present:
			d.value(path+"/"+escape(f.name), sub, dst.FieldByIndex(f.index), f.enum)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !known[key] {
			d.problem(path+"/"+escape(key), "%s", unknownKey(key, fields))
		}
	}
}

// mapping decodes into a copy of a map, so that defaults are never written to.
func (d *decoder) mapping(path string, tree any, dst reflect.Value, enum []string) {
	m, ok := tree.(map[string]any)
	if !ok {
		d.problem(path, "must be an object, not %s", kindName(tree))
		return
	}
	if dst.Type().Key().Kind() != reflect.String {
		d.problem(path, "cannot be configured: its keys are no strings")
		return
	}
	fresh := reflect.MakeMapWithSize(dst.Type(), dst.Len()+len(m))
	for it := dst.MapRange(); it.Next(); {
		fresh.SetMapIndex(it.Key(), it.Value())
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		elem := reflect.New(dst.Type().Elem()).Elem()
		d.value(path+"/"+escape(key), m[key], elem, enum)
		fresh.SetMapIndex(reflect.ValueOf(key).Convert(dst.Type().Key()), elem)
	}
	dst.Set(fresh)
}

// list decodes into a new slice, or into an array of the same length.
func (d *decoder) list(path string, tree any, dst reflect.Value, enum []string) {
	if s, ok := tree.(string); ok && dst.Type().Elem().Kind() == reflect.Uint8 && dst.Kind() == reflect.Slice {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			d.problem(path, "is not base64")
		}
		dst.Set(reflect.ValueOf(b).Convert(dst.Type()))
		return
	}
	l, ok := tree.([]any)
	if !ok {
		d.problem(path, "must be a list, not %s", kindName(tree))
		return
	}
	if dst.Kind() == reflect.Array {
		if len(l) != dst.Len() {
			d.problem(path, "must have %d elements, not %d", dst.Len(), len(l))
			return
		}
	} else {
		dst.Set(reflect.MakeSlice(dst.Type(), len(l), len(l)))
	}
	for i, sub := range l {
		at := path + "/" + strconv.Itoa(i)
		if sub == nil && dst.Type().Elem().Kind() != reflect.Interface {
			d.problem(at, "must not be null")
			continue
		}
		d.value(at, sub, dst.Index(i), enum)
	}
}

// free decodes what may be anything.
func (d *decoder) free(path string, tree any, dst reflect.Value) {
	b, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(b, dst.Addr().Interface())
	}
	if err != nil {
		d.problem(path, "cannot be configured: %v", err)
	}
}

// kindName names the kind of a JSON value with its article.
func kindName(tree any) string {
	switch tree.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

// escape writes a key as a part of a JSON pointer (RFC 6901).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
