package script

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"
)

// universe are the functions of the language that can make something large or
// take long in one step, with a check before each.
func universe() starlark.StringDict {
	out := make(starlark.StringDict)
	for name, check := range map[string]func(c *call, args starlark.Tuple) (int64, error){
		"list": elements(sizeOfElement), "tuple": elements(sizeOfElement), "sorted": elements(sizeOfElement),
		"reversed": elements(sizeOfElement), "set": elements(sizeOfEntry), "dict": elements(sizeOfEntry),
		"enumerate": elements(3 * sizeOfElement), "zip": elements(3 * sizeOfElement),
		"any": elements(0), "all": elements(0), "max": elements(0), "min": elements(0),
		"str": written, "repr": written, "print": written, "fail": written, "bytes": written,
		"int": digits,
	} {
		out[name] = checked(name, check)
	}
	out["range"] = starlark.NewBuiltin("range", boundedRange)
	out["getattr"] = starlark.NewBuiltin("getattr", guardedGetattr)
	return out
}

func checked(name string, check func(*call, starlark.Tuple) (int64, error)) *starlark.Builtin {
	f := starlark.Universe[name].(*starlark.Builtin)
	return starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		c := callOf(thread)
		n, err := check(c, args)
		if err == nil {
			err = c.charge(n)
		}
		if err != nil {
			return nil, err
		}
		return f.CallInternal(thread, args, kwargs)
	})
}

// elements charges for each element of all arguments, and counts it as a step.
func elements(size int64) func(*call, starlark.Tuple) (int64, error) {
	return func(c *call, args starlark.Tuple) (int64, error) {
		var n int64
		for _, a := range args {
			n += lengthOf(a)
		}
		c.thread.Steps += uint64(n)
		return n * size, nil
	}
}

// written charges for the arguments as text.
func written(c *call, args starlark.Tuple) (int64, error) {
	if len(args) == 1 {
		switch s := args[0].(type) {
		case starlark.String:
			return 0, nil
		case starlark.Bytes:
			return int64(len(s)), nil
		}
	}
	return measure(args, c.limits.Memory), nil
}

func digits(_ *call, args starlark.Tuple) (int64, error) {
	if s, ok := one(args).(starlark.String); ok && len(s) > maxDigits/4 {
		return 0, errors.New("int: the number is too large")
	}
	return 0, nil
}

// boundedRange is range for as many numbers as a call has steps: nobody gets
// through more, and functions of the language go through it in one.
func boundedRange(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	out, err := starlark.Universe["range"].(*starlark.Builtin).CallInternal(thread, args, kwargs)
	if err != nil {
		return nil, err
	}
	if n, limit := lengthOf(out), callOf(thread).limits.Steps; uint64(n) > limit { //nolint:gosec // a length
		return nil, fmt.Errorf("range: %d numbers are more than the %d steps of a call (limits.steps)", n, limit)
	}
	return out, nil
}

func guardedGetattr(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) >= 2 {
		if name, ok := args[1].(starlark.String); ok {
			if _, guarded := guardedMethods[string(name)]; guarded {
				if v, err := attr(args[0], string(name)); err == nil {
					return v, nil
				}
			}
		}
	}
	return starlark.Universe["getattr"].(*starlark.Builtin).CallInternal(thread, args, kwargs)
}
