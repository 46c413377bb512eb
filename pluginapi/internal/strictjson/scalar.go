package strictjson

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// isLeaf reports whether values of a type decode themselves, or are durations.
func isLeaf(t reflect.Type) bool {
	return t == durationType || implements(t, jsonUnmarshalerType) || implements(t, textUnmarshalerType)
}

// implements looks at the pointer, because what unmarshals has to be one. A
// pointer type is left to its element.
func implements(t, iface reflect.Type) bool {
	return t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(iface)
}

// custom decodes a value of a type that [isLeaf].
func (d *decoder) custom(path string, tree any, dst reflect.Value, enum []string) {
	fresh := reflect.New(dst.Type())
	switch u := fresh.Interface().(type) {
	case json.Unmarshaler:
		b, err := json.Marshal(tree)
		if err == nil {
			err = u.UnmarshalJSON(b)
		}
		if err != nil {
			d.problem(path, "%s", oneLine(err))
			return
		}
	case encoding.TextUnmarshaler:
		s, ok := d.text(path, tree, enum)
		if !ok {
			return
		}
		if err := u.UnmarshalText([]byte(s)); err != nil {
			d.problem(path, "%s", oneLine(err))
			return
		}
	case *time.Duration:
		s, ok := tree.(string)
		v, err := time.ParseDuration(s)
		if !ok || err != nil {
			d.problem(path, `must be a duration such as "10s" or "1m30s"`)
			return
		}
		*u = v
	}
	dst.Set(fresh.Elem())
}

// scalar decodes strings, booleans and numbers.
func (d *decoder) scalar(path string, tree any, dst reflect.Value, enum []string) {
	switch k := dst.Kind(); {
	case k == reflect.String:
		if s, ok := d.text(path, tree, enum); ok {
			dst.SetString(s)
		}
	case k == reflect.Bool:
		b, ok := tree.(bool)
		if !ok {
			d.problem(path, "must be true or false, not %s", kindName(tree))
			return
		}
		dst.SetBool(b)
	case k >= reflect.Int && k <= reflect.Float64:
		n, ok := tree.(json.Number)
		if !ok {
			d.problem(path, "must be a number, not %s", kindName(tree))
			return
		}
		d.number(path, n, dst)
	default:
		d.problem(path, "cannot be configured: it is a %s", dst.Type())
	}
}

// text returns a string that is one of enum, if there is an enum.
func (d *decoder) text(path string, tree any, enum []string) (string, bool) {
	s, ok := tree.(string)
	if !ok {
		d.problem(path, "must be a string, not %s", kindName(tree))
		return "", false
	}
	if len(enum) > 0 && !slices.Contains(enum, s) {
		d.problem(path, "must be one of %s, not %q", strings.Join(enum, ", "), s)
		return "", false
	}
	return s, true
}

// number decodes a number and says what range there is.
func (d *decoder) number(path string, n json.Number, dst reflect.Value) {
	bits := dst.Type().Bits()
	switch {
	case dst.CanInt():
		v, err := strconv.ParseInt(n.String(), 10, bits)
		if err != nil {
			d.problem(path, "must be a whole number from %d to %d, not %s", int64(-1)<<(bits-1), int64(1)<<(bits-1)-1, n)
			return
		}
		dst.SetInt(v)
	case dst.CanUint():
		v, err := strconv.ParseUint(n.String(), 10, bits)
		if err != nil {
			d.problem(path, "must be a whole number from 0 to %d, not %s", ^uint64(0)>>(64-bits), n)
			return
		}
		dst.SetUint(v)
	default:
		v, err := strconv.ParseFloat(n.String(), bits)
		if err != nil {
			d.problem(path, "is too large a number: %s", n)
			return
		}
		dst.SetFloat(v)
	}
}

// oneLine is an error's text for a problem.
func oneLine(err error) string {
	if syntax, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "must not be a " + syntax.Value
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
