package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Check finds what is wrong with a script without calling its hooks: what does
// not compile, names that do not exist, top levels that fail, fields of contexts
// that do not exist or can't be set, reason codes that are none. The error joins
// a [Failure] for each.
func Check(ctx context.Context, files fs.FS, name string, o Options) error {
	text, err := read(files, name)
	if err != nil {
		return &Failure{Place: name, Message: err.Error()}
	}
	f, err := fileOptions.Parse(name, text, 0)
	if err != nil {
		return failures(name, err)
	}
	errs := misspelled(f)
	for _, hook := range slices.Sorted(keysOf(usages(f))) {
		errs = append(errs, checkUse(hookNamed(hook), usages(f)[hook])...)
	}
	errs = append(errs, checkCodes(f)...)
	var extra starlark.StringDict
	if strings.HasSuffix(name, TestExtension) {
		extra = testNames()
	}
	_, err = load(ctx, files, []string{name}, extra, o)
	return errors.Join(append(errs, err)...)
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// misspelled finds functions that look like hooks and are none.
func misspelled(f *syntax.File) []error {
	var errs []error
	for _, s := range f.Stmts {
		def, ok := s.(*syntax.DefStmt)
		if !ok || !strings.HasPrefix(def.Name.Name, "on_") || hookNamed(def.Name.Name) != nil {
			continue
		}
		var all []string
		for i := range hooks {
			all = append(all, hooks[i].Name)
		}
		errs = append(errs, &Failure{
			Place:   def.Name.NamePos.String(),
			Message: fmt.Sprintf("%s is none of the hooks, and nobody calls it; they are %s", def.Name.Name, strings.Join(all, ", ")),
		})
	}
	return errs
}

// checkUse finds fields that do not exist, or can't be set.
func checkUse(h *Hook, u *usage) []error {
	var errs []error
	if h.record == nil {
		return nil
	}
	for key, pos := range u.reads {
		if _, ok := h.record.index[key]; !ok && !strings.HasPrefix(key, "_") {
			errs = append(errs, &Failure{Place: pos.String(), Message: fmt.Sprintf("%s has no field %q; it has %s", h.Name, key, h.record.names(false))})
		}
	}
	for key, pos := range u.writes {
		i, ok := h.record.index[key]
		switch {
		case strings.HasPrefix(key, "_"), ok && h.record.fields[i].Writable:
		case ok:
			errs = append(errs, &Failure{Place: pos.String(), Message: fmt.Sprintf("%q can't be changed by %s; what can is %s", key, h.Name, h.record.names(true))})
		default:
			errs = append(errs, &Failure{Place: pos.String(), Message: fmt.Sprintf("%s has no field %q that could be set; it has %s", h.Name, key, h.record.names(true))})
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

// checkCodes finds reason codes that are none, where they are literals.
func checkCodes(f *syntax.File) []error {
	var errs []error
	syntax.Walk(f, func(n syntax.Node) bool {
		s, ok := n.(*syntax.AssignStmt)
		if !ok || s.Op != syntax.EQ {
			return true
		}
		i, ok := s.LHS.(*syntax.IndexExpr)
		if !ok {
			return true
		}
		key, _, ok := literal(i.Y)
		if !ok || key != "result" && key != "reason_code" {
			return true
		}
		if code, pos, ok := literal(s.RHS); ok {
			if _, err := toReason(starlark.String(code)); err != nil {
				errs = append(errs, &Failure{Place: pos.String(), Message: err.Error()})
			}
		}
		return true
	})
	return errs
}
