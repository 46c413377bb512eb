package script

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// maxDigits bounds numbers: beyond it multiplying and printing them takes long
// in one step.
const maxDigits = 1 << 17 // bits

// guards are the functions that rewrite puts into scripts.
func guards() starlark.StringDict {
	return starlark.StringDict{
		guardCharge: starlark.NewBuiltin("operator", chargeResult),
		guardMul:    starlark.NewBuiltin("*", guardedMul),
		guardMod:    starlark.NewBuiltin("%", guardedMod),
		guardAddTo:  starlark.NewBuiltin("assignment", guardedAddTo),
		guardAddAt:  starlark.NewBuiltin("assignment", guardedAddAt),
		guardMethod: starlark.NewBuiltin("method", guardedAttr),
	}
}

func chargeResult(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	if i, ok := args[0].(starlark.Int); ok {
		return i, checkDigits(i)
	}
	if n := sizeOf(args[0]); n > 0 {
		return args[0], callOf(thread).charge(n)
	}
	return args[0], nil
}

func checkDigits(i starlark.Int) error {
	if _, small := i.Int64(); !small && i.BigInt().BitLen() > maxDigits {
		return errors.New("the number is too large")
	}
	return nil
}

func guardedMul(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	return multiply(callOf(thread), args[0], args[1])
}

func multiply(c *call, x, y starlark.Value) (starlark.Value, error) {
	if n, ok := x.(starlark.Int); ok {
		if m, ok := y.(starlark.Int); ok {
			product := n.Mul(m) // of numbers that have passed here, so not that large
			return product, checkDigits(product)
		}
		x, y = y, x
	}
	if n, ok := y.(starlark.Int); ok {
		if size := sizeOf(x); size > 0 {
			times, fits := n.Int64()
			if !fits || times > c.limits.Memory/size {
				return nil, c.charge(c.limits.Memory + 1)
			}
			if err := c.charge(size * max(times, 0)); err != nil {
				return nil, err
			}
		}
		return starlark.Binary(syntax.STAR, x, n)
	}
	return starlark.Binary(syntax.STAR, x, y)
}

func guardedMod(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	return modulo(callOf(thread), args[0], args[1])
}

func modulo(c *call, x, y starlark.Value) (starlark.Value, error) {
	if s, ok := x.(starlark.String); ok {
		if err := c.charge(int64(len(s)) + measure(y, c.limits.Memory)); err != nil {
			return nil, err
		}
	}
	return starlark.Binary(syntax.PERCENT, x, y)
}

// augment does what x OP= y does to x, which it returns, or to its place.
func augment(thread *starlark.Thread, op string, x, y starlark.Value) (starlark.Value, error) {
	c := callOf(thread)
	switch op {
	case "*":
		return multiply(c, x, y)
	case "%":
		return modulo(c, x, y)
	case "+":
		if list, ok := x.(*starlark.List); ok {
			if _, ok := y.(starlark.Iterable); ok {
				if err := c.charge(lengthOf(y) * sizeOfElement); err != nil {
					return nil, err
				}
				extend, err := list.Attr("extend")
				if err == nil {
					_, err = starlark.Call(thread, extend, starlark.Tuple{y}, nil)
				}
				return list, err
			}
		}
	}
	out, err := starlark.Binary(operators[op], x, y)
	if err != nil {
		return nil, err
	}
	if i, ok := out.(starlark.Int); ok {
		return out, checkDigits(i)
	}
	return out, c.charge(sizeOf(out))
}

var operators = map[string]syntax.Token{
	"+": syntax.PLUS, "|": syntax.PIPE, "<<": syntax.LTLT,
}

func guardedAddTo(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	return augment(thread, string(args[0].(starlark.String)), args[1], args[2])
}

// guardedAddAt is x[k] OP= y.
func guardedAddAt(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	x, k := args[1], args[2]
	old, err := index(x, k)
	if err != nil {
		return nil, err
	}
	value, err := augment(thread, string(args[0].(starlark.String)), old, args[3])
	if err != nil {
		return nil, err
	}
	return starlark.None, setIndex(x, k, value)
}

// index is x[k].
func index(x, k starlark.Value) (starlark.Value, error) {
	switch x := x.(type) {
	case starlark.Mapping:
		v, found, err := x.Get(k)
		if err == nil && !found {
			err = fmt.Errorf("key %v not in %s", k, x.Type())
		}
		return v, err
	case starlark.Indexable:
		i, err := place(x, k)
		if err != nil {
			return nil, err
		}
		return x.Index(i), nil
	}
	return nil, fmt.Errorf("unhandled index operation %s[%s]", x.Type(), k.Type())
}

func setIndex(x, k, v starlark.Value) error {
	switch x := x.(type) {
	case starlark.HasSetKey:
		return x.SetKey(k, v)
	case starlark.HasSetIndex:
		i, err := place(x, k)
		if err != nil {
			return err
		}
		return x.SetIndex(i, v)
	}
	return fmt.Errorf("%s value does not support item assignment", x.Type())
}

func place(x starlark.Indexable, k starlark.Value) (int, error) {
	i, err := starlark.AsInt32(k)
	if err != nil {
		return 0, fmt.Errorf("%s index: %w", x.(starlark.Value).Type(), err)
	}
	n := x.Len()
	at := i
	if at < 0 {
		at += n
	}
	if at < 0 || at >= n {
		return 0, fmt.Errorf("%s index %d out of range [%d:%d]", x.(starlark.Value).Type(), i, -n, n-1)
	}
	return at, nil
}

// lengthOf is the number of elements of what can be iterated over.
func lengthOf(v starlark.Value) int64 {
	return int64(max(starlark.Len(v), 0))
}

// guardedMethods are the methods that can make something large, and what they
// take at most before they are called; nil: what they have made is booked.
var guardedMethods = map[string]func(c *call, recv starlark.Value, args starlark.Tuple) int64{
	"capitalize": nil, "lower": nil, "upper": nil, "title": nil, "partition": nil, "rpartition": nil,
	"items": nil, "keys": nil, "values": nil,
	"union": nil, "difference": nil, "intersection": nil, "symmetric_difference": nil,
	"join": func(c *call, recv starlark.Value, args starlark.Tuple) int64 {
		list, ok := one(args).(starlark.Iterable)
		if !ok {
			return 0
		}
		n := sizeOf(recv) * max(lengthOf(list)-1, 0)
		for e := range starlark.Elements(list) {
			if n += sizeOf(e); n > c.limits.Memory {
				break
			}
		}
		return n
	},
	"replace": func(_ *call, recv starlark.Value, args starlark.Tuple) int64 {
		s, _ := recv.(starlark.String)
		if len(args) < 2 {
			return 0
		}
		from, _ := args[0].(starlark.String)
		to, _ := args[1].(starlark.String)
		return int64(len(s)) + int64(strings.Count(string(s), string(from)))*int64(len(to))
	},
	"format": func(c *call, recv starlark.Value, args starlark.Tuple) int64 {
		s, _ := recv.(starlark.String)
		fields := int64(strings.Count(string(s), "{"))
		return int64(len(s)) + fields*measure(args, c.limits.Memory)
	},
	"split": splitSize, "rsplit": splitSize, "splitlines": splitSize,
	"extend": func(_ *call, _ starlark.Value, args starlark.Tuple) int64 {
		return lengthOf(one(args)) * sizeOfElement
	},
	"update": func(_ *call, _ starlark.Value, args starlark.Tuple) int64 {
		return lengthOf(one(args)) * sizeOfEntry
	},
}

func splitSize(_ *call, recv starlark.Value, args starlark.Tuple) int64 {
	s, _ := recv.(starlark.String)
	sep := "\n"
	if len(args) > 0 {
		if given, ok := args[0].(starlark.String); ok && given != "" {
			sep = string(given)
		}
	}
	return int64(max(strings.Count(string(s), sep), strings.Count(string(s), " "))+1) * sizeOfElement
}

func one(args starlark.Tuple) starlark.Value {
	if len(args) == 0 {
		return starlark.None
	}
	return args[0]
}

// guardedAttr is x.name for the name of a guarded method; of a value that is not
// the language's own it is what it would be without.
func guardedAttr(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	return attr(args[0], string(args[1].(starlark.String)))
}

func attr(x starlark.Value, name string) (starlark.Value, error) {
	has, ok := x.(starlark.HasAttrs)
	if !ok {
		return nil, fmt.Errorf("%s has no .%s field or method", x.Type(), name)
	}
	v, err := has.Attr(name)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, fmt.Errorf("%s has no .%s field or method", x.Type(), name)
	}
	method, ok := v.(*starlark.Builtin)
	if !ok {
		return v, nil
	}
	switch x.(type) {
	case starlark.String, starlark.Bytes, *starlark.List, *starlark.Dict, *starlark.Set:
		size, guarded := guardedMethods[name]
		if !guarded {
			return v, nil
		}
		return starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			c := callOf(thread)
			if size != nil {
				n := size(c, x, args)
				for _, kv := range kwargs {
					n += measure(kv, c.limits.Memory) * max(1, sizeOf(x))
				}
				if err := c.charge(n); err != nil {
					return nil, err
				}
			}
			out, err := starlark.Call(thread, method, args, kwargs)
			if err == nil && size == nil {
				err = c.charge(sizeOf(out))
			}
			return out, err
		}), nil
	}
	return v, nil
}
