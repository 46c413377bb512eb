package script

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
)

// field is one key of a context, or of a dict that describes a client or the
// like.
type field struct {
	Name, Type, Doc string
	// Writable says that a script may set it. Others are set by tests alone.
	Writable bool
	get      func(src any) starlark.Value
	set      func(src any, v starlark.Value) error
	// keep says that the value can be changed in place: it is made once, and
	// set again at the end.
	keep bool
}

// fieldOf makes a field of a record about T.
func fieldOf[T any](name, typ, doc string, get func(*T) starlark.Value, set func(*T, starlark.Value) error) field {
	return field{
		Name: name, Type: typ, Doc: doc,
		get: func(src any) starlark.Value { return get(src.(*T)) },
		set: func(src any, v starlark.Value) error { return set(src.(*T), v) },
	}
}

// through makes fields about T of fields about U, which a T has. Where it has
// none, they are None and can't be set.
func through[T, U any](fields []field, of func(*T) *U) []field {
	out := make([]field, len(fields))
	for i, f := range fields {
		out[i] = f
		out[i].get = func(src any) starlark.Value {
			if u := of(src.(*T)); u != nil {
				return f.get(u)
			}
			return starlark.None
		}
		out[i].set = func(src any, v starlark.Value) error {
			if u := of(src.(*T)); u != nil {
				return f.set(u, v)
			}
			return errors.New("there is nothing to set it of")
		}
	}
	return out
}

// writable makes fields that scripts may set, but for some.
func writable(fields []field, except ...string) []field {
	for i := range fields {
		fields[i].Writable = true
		for _, name := range except {
			if fields[i].Name == name {
				fields[i].Writable = false
			}
		}
	}
	return fields
}

// kept marks a field whose value can be changed in place.
func kept(f field) field {
	f.keep = true
	return f
}

// record is a list of fields.
type record struct {
	fields []field
	index  map[string]int
}

func newRecord(parts ...[]field) *record {
	r := &record{index: make(map[string]int)}
	for _, part := range parts {
		for _, f := range part {
			if _, double := r.index[f.Name]; double {
				panic("field " + f.Name + " is there twice")
			}
			r.index[f.Name] = len(r.fields)
			r.fields = append(r.fields, f)
		}
	}
	return r
}

// names lists the fields, for messages.
func (r *record) names(writable bool) string {
	var list []string
	for i := range r.fields {
		if !writable || r.fields[i].Writable {
			list = append(list, r.fields[i].Name)
		}
	}
	return strings.Join(list, ", ")
}

// dict describes src.
func (r *record) dict(src any) *starlark.Dict {
	d := starlark.NewDict(len(r.fields))
	for i := range r.fields {
		_ = d.SetKey(starlark.String(r.fields[i].Name), r.fields[i].get(src)) // a string can be hashed
	}
	return d
}

// fill sets src as a dict says.
func (r *record) fill(src any, entries []starlark.Tuple) error {
	for _, kv := range entries {
		name, ok := starlark.AsString(kv[0])
		i, known := r.index[name]
		if !ok || !known {
			return fmt.Errorf("there is no field %s; there are %s", short(kv[0]), r.names(false))
		}
		if err := r.fields[i].set(src, kv[1]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// Context is what a hook's function is given: it looks like a dict. A key that
// begins with an underscore is the scripts' own, for those behind.
type Context struct {
	hook   *Hook
	src    any
	limits *Limits
	call   *call            // nil outside of calls
	kept   []starlark.Value // by field; nil as long as none was made
	own    *starlark.Dict   // nil as long as there are none
	frozen bool
}

var (
	_ starlark.HasSetKey       = (*Context)(nil)
	_ starlark.IterableMapping = (*Context)(nil)
	_ starlark.HasAttrs        = (*Context)(nil)
	_ starlark.Sequence        = (*Context)(nil)
)

func newContext(h *Hook, src any, limits *Limits) *Context {
	return &Context{hook: h, src: src, limits: limits}
}

// String is part of [starlark.Value].
func (x *Context) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, kv := range x.Items() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(kv[0].String() + ": ")
		if measure(kv[1], 4096) > 4096 {
			b.WriteString("...")
		} else {
			b.WriteString(kv[1].String())
		}
	}
	b.WriteByte('}')
	return b.String()
}

// Type is part of [starlark.Value].
func (x *Context) Type() string { return "context" }

// Freeze is part of [starlark.Value].
func (x *Context) Freeze() {
	x.frozen = true
	for _, v := range x.kept {
		if v != nil {
			v.Freeze()
		}
	}
	if x.own != nil {
		x.own.Freeze()
	}
}

// Truth is part of [starlark.Value].
func (x *Context) Truth() starlark.Bool { return true }

// Hash is part of [starlark.Value].
func (x *Context) Hash() (uint32, error) { return 0, errors.New("unhashable: context") }

// Len is the number of keys.
func (x *Context) Len() int {
	n := len(x.hook.record.fields)
	if x.own != nil {
		n += x.own.Len()
	}
	return n
}

// Get is context[key].
func (x *Context) Get(k starlark.Value) (starlark.Value, bool, error) {
	name, ok := starlark.AsString(k)
	if !ok {
		return nil, false, fmt.Errorf("the keys of a context are strings, not %s", k.Type())
	}
	if i, ok := x.hook.record.index[name]; ok {
		v, err := x.field(i)
		return v, err == nil, err
	}
	if !strings.HasPrefix(name, "_") {
		return nil, false, fmt.Errorf("%s has no field %q; it has %s", x.hook.Name, name, x.hook.record.names(false))
	}
	if x.own == nil {
		return nil, false, nil
	}
	return x.own.Get(k)
}

func (x *Context) field(i int) (starlark.Value, error) {
	f := &x.hook.record.fields[i]
	if x.kept != nil && x.kept[i] != nil {
		return x.kept[i], nil
	}
	v := f.get(x.src)
	if v == nil {
		return nil, fmt.Errorf("%s is not there: the broker was not asked for it, because no script seems to use it by its name", f.Name)
	}
	if x.call != nil {
		if err := x.call.charge(sizeOf(v)); err != nil {
			return nil, err
		}
	}
	if f.keep && v != starlark.None {
		if !f.Writable || x.frozen {
			v.Freeze()
		}
		if x.kept == nil {
			x.kept = make([]starlark.Value, len(x.hook.record.fields))
		}
		x.kept[i] = v
	}
	return v, nil
}

// SetKey is context[key] = value.
func (x *Context) SetKey(k, v starlark.Value) error {
	name, ok := starlark.AsString(k)
	if !ok {
		return fmt.Errorf("the keys of a context are strings, not %s", k.Type())
	}
	if x.frozen {
		return errors.New("the context can't be changed any more")
	}
	i, ok := x.hook.record.index[name]
	if !ok {
		if !strings.HasPrefix(name, "_") {
			return fmt.Errorf("%s has no field %q that could be set; it has %s. Keys of your own begin with an underscore",
				x.hook.Name, name, x.hook.record.names(true))
		}
		if x.own == nil {
			x.own = starlark.NewDict(1)
		}
		return x.own.SetKey(k, v)
	}
	if !x.hook.record.fields[i].Writable {
		return fmt.Errorf("%q can't be changed by %s; what can is %s", name, x.hook.Name, x.hook.record.names(true))
	}
	return x.assign(i, v)
}

// assign sets a field, whether scripts may or not.
func (x *Context) assign(i int, v starlark.Value) error {
	f := &x.hook.record.fields[i]
	if n := sizeOf(v); n > x.limits.Result {
		return fmt.Errorf("%s of %d bytes is more than the %d that it may have (limits.result)", f.Name, n, x.limits.Result)
	}
	if err := f.set(x.src, v); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if x.kept != nil {
		x.kept[i] = nil
	}
	return nil
}

// settle takes over what was changed in place.
func (x *Context) settle() error {
	for i, v := range x.kept {
		f := &x.hook.record.fields[i]
		if v == nil || !f.Writable {
			continue
		}
		if most := 2 * x.limits.Result; measure(v, most) > most {
			return fmt.Errorf("%s is larger than it may be (limits.result)", f.Name)
		}
		if err := f.set(x.src, v); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

// Items is part of [starlark.IterableMapping].
func (x *Context) Items() []starlark.Tuple {
	var out []starlark.Tuple
	for i := range x.hook.record.fields {
		v, err := x.field(i)
		if err != nil {
			v = starlark.None
		}
		out = append(out, starlark.Tuple{starlark.String(x.hook.record.fields[i].Name), v})
	}
	if x.own != nil {
		out = append(out, x.own.Items()...)
	}
	return out
}

// Iterate goes through the keys.
func (x *Context) Iterate() starlark.Iterator { return x.keys().Iterate() }

func (x *Context) keys() *starlark.List {
	keys := make([]starlark.Value, 0, x.Len())
	for i := range x.hook.record.fields {
		keys = append(keys, starlark.String(x.hook.record.fields[i].Name))
	}
	if x.own != nil {
		keys = append(keys, x.own.Keys()...)
	}
	return starlark.NewList(keys)
}

// AttrNames are the methods.
func (x *Context) AttrNames() []string { return []string{"get", "items", "keys", "update", "values"} }

// Attr is a method.
func (x *Context) Attr(name string) (starlark.Value, error) {
	m, ok := contextMethods[name]
	if !ok {
		return nil, starlark.NoSuchAttrError(fmt.Sprintf("a context has no .%s; its fields are read as context[%q]", name, name))
	}
	return m.BindReceiver(x), nil
}

var contextMethods = map[string]*starlark.Builtin{
	"get": starlark.NewBuiltin("get", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var k starlark.Value
		var def starlark.Value = starlark.None
		if err := starlark.UnpackArgs("get", args, kwargs, "key", &k, "default?", &def); err != nil {
			return nil, err
		}
		v, found, err := b.Receiver().(*Context).Get(k)
		if err != nil {
			return nil, err
		}
		if !found || v == starlark.None {
			return def, nil
		}
		return v, nil
	}),
	"keys": starlark.NewBuiltin("keys", func(_ *starlark.Thread, b *starlark.Builtin, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		return b.Receiver().(*Context).keys(), nil
	}),
	"items": starlark.NewBuiltin("items", func(_ *starlark.Thread, b *starlark.Builtin, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		items := b.Receiver().(*Context).Items()
		out := make([]starlark.Value, len(items))
		for i, kv := range items {
			out[i] = kv
		}
		return starlark.NewList(out), nil
	}),
	"values": starlark.NewBuiltin("values", func(_ *starlark.Thread, b *starlark.Builtin, _ starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		items := b.Receiver().(*Context).Items()
		out := make([]starlark.Value, len(items))
		for i, kv := range items {
			out[i] = kv[1]
		}
		return starlark.NewList(out), nil
	}),
	"update": starlark.NewBuiltin("update", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var from starlark.IterableMapping
		if err := starlark.UnpackArgs("update", args, nil, "from?", &from); err != nil {
			return nil, err
		}
		entries := kwargs
		if from != nil {
			entries = append(from.Items(), kwargs...)
		}
		for _, kv := range entries {
			if err := b.Receiver().(*Context).SetKey(kv[0], kv[1]); err != nil {
				return nil, err
			}
		}
		return starlark.None, nil
	}),
}
