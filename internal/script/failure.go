package script

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Failure is a script that could not decide, or not be loaded: it failed, took
// too much, or said what makes no sense.
type Failure struct {
	// Place is "FILE:LINE:COLUMN", or as much of it as is known.
	Place string
	// Function that was called; "" for the script's top level.
	Function string
	// Message says what is wrong, in one line.
	Message string
	// Traceback is the calls that led there, in lines; "" if there were none.
	Traceback string

	cause error
}

// Unwrap returns what made the script fail, such as an error of the broker's;
// nil for none.
func (f *Failure) Unwrap() error { return f.cause }

// Error is the failure in one line.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString(f.Place)
	if f.Function != "" {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString("in " + f.Function)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	return b.String() + f.Message
}

// fail makes a Failure of what the interpreter returns.
func fail(file, function string, err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	f := &Failure{Place: file, Function: function, Message: oneLine(err.Error()), cause: err}
	if e, ok := errors.AsType[*starlark.EvalError](err); ok {
		f.Message, f.Traceback = oneLine(e.Msg), e.Backtrace()
		for _, frame := range e.CallStack {
			if frame.Pos.IsValid() && frame.Pos.Filename() != "<builtin>" {
				f.Place = frame.Pos.String()
			}
		}
	}
	return f
}

// failures makes one of each error of a script that does not compile.
func failures(file string, err error) error {
	if list, ok := errors.AsType[resolve.ErrorList](err); ok {
		all := make([]error, len(list))
		for i, e := range list {
			all[i] = &Failure{Place: e.Pos.String(), Message: e.Msg}
		}
		return errors.Join(all...)
	}
	if e, ok := errors.AsType[syntax.Error](err); ok {
		return &Failure{Place: e.Pos.String(), Message: e.Msg}
	}
	return fail(file, "", err)
}

// Failures takes an error of this package apart.
func Failures(err error) []*Failure {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Failure
		for _, e := range many.Unwrap() {
			all = append(all, Failures(e)...)
		}
		return all
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return []*Failure{f}
	}
	return []*Failure{{Message: oneLine(err.Error())}}
}

func oneLine(s string) string {
	s = strings.TrimPrefix(s, "Starlark computation cancelled: ")
	if s == "too many steps" {
		return "it took more steps than it may (limits.steps)"
	}
	return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")
}

// nonsense is a failure of a script that returned, but not with sense.
func nonsense(file, function, format string, args ...any) *Failure {
	return &Failure{Place: file, Function: function, Message: fmt.Sprintf(format, args...)}
}
