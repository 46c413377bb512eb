package script

import (
	"context"
	"maps"

	"go.starlark.net/starlark"
)

// Session evaluates line after line with what a set of scripts has: its
// functions, its limits, its broker. It is not for concurrent use.
type Session struct {
	set     *Set
	globals starlark.StringDict
}

// NewSession begins with the names of all scripts; of those that several have,
// with the last.
func (s *Set) NewSession() *Session {
	globals := maps.Clone(predeclared())
	for _, m := range s.scripts {
		maps.Copy(globals, m.globals)
	}
	return &Session{set: s, globals: globals}
}

// Eval evaluates an expression or runs statements. The result is the value of
// the expression as the language writes it, "" for none.
func (s *Session) Eval(ctx context.Context, text string) (result string, err error) {
	err = s.set.run(ctx, "eval", s.set.limits.BackgroundTime, func(c *call) error {
		if e, err := fileOptions.ParseExpr("input", text, 0); err == nil {
			v, err := starlark.EvalExprOptions(fileOptions, c.thread, guarded(e), s.globals)
			if err != nil {
				return fail("input", "", err)
			}
			if v != starlark.None {
				if err := c.charge(measure(v, c.limits.Memory)); err != nil {
					return err
				}
				result = v.String()
			}
			return nil
		}
		f, err := fileOptions.Parse("input", text, 0)
		if err != nil {
			return failures("input", err)
		}
		rewrite(f)
		if err := starlark.ExecREPLChunk(f, c.thread, s.globals); err != nil {
			return fail("input", "", failures("input", err))
		}
		return nil
	})
	return result, err
}
