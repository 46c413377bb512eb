package script

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"go.starlark.net/starlark"
)

// Options are what scripts are given.
type Options struct {
	Limits Limits
	// Broker is what functions such as publish call. Its nil parts answer that
	// there is no broker.
	Broker Broker
	// HTTP is what scripts may ask for by HTTP; zero for nothing.
	HTTP HTTP
	// Logger takes what scripts print and log; nil discards it.
	Logger *slog.Logger
	// Now is the clock; nil for that of the system.
	Now func() time.Time
	// Stuck, if not nil, is told of a call that does not end though it was told
	// to: it holds its goroutine for ever. The name is that of the function.
	Stuck func(name string)
}

// Set is a folder of scripts, ready to be called.
type Set struct {
	options     Options
	limits      Limits
	files       fs.FS
	log         *slog.Logger
	predeclared starlark.StringDict
	loader      *loader // nil once all is loaded
	scripts     []*module
	allModules  []*module // scripts and what they load
	functions   [numHooks][]function
	keys        keyFiles
	bench       *testBench // of a test; nil else
}

// function is a hook's function in one script.
type function struct {
	module *module
	fn     starlark.Callable
	topics []string // filters; none for all
}

// Load compiles and runs the scripts of a folder: their top level, which must do
// nothing but define functions. ctx bounds that. The error joins a [Failure] for
// each thing that is wrong with any of the scripts.
func Load(ctx context.Context, files fs.FS, o Options) (*Set, error) {
	list, err := names(files)
	if err != nil {
		return nil, err
	}
	return load(ctx, files, list, nil, o)
}

// LoadFiles is Load for some of the scripts of a folder.
func LoadFiles(ctx context.Context, files fs.FS, scripts []string, o Options) (*Set, error) {
	return load(ctx, files, scripts, nil, o)
}

// load has extra functions for the scripts in scripts, such as those of tests.
func load(ctx context.Context, files fs.FS, scripts []string, extra starlark.StringDict, o Options) (*Set, error) {
	s := &Set{options: o, limits: o.Limits.withDefaults(), files: files, log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.predeclared = predeclared()
	s.loader = &loader{set: s, files: files, modules: make(map[string]*module), extra: extra}
	var errs []error
	for _, name := range scripts {
		errs = append(errs, s.run(ctx, name, s.limits.BackgroundTime, func(c *call) error {
			c.loading = true
			m, err := s.loader.load(c, name)
			if err != nil {
				return fail(name, "", err)
			}
			s.scripts = append(s.scripts, m)
			return s.find(m)
		}))
	}
	for _, m := range s.loader.modules {
		s.allModules = append(s.allModules, m)
	}
	s.loader = nil
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// find notes the hooks of a script.
func (s *Set) find(m *module) error {
	var errs []error
	for h := range hooks {
		v, ok := m.globals[hooks[h].Name]
		if !ok {
			continue
		}
		fn, ok := v.(starlark.Callable)
		if !ok {
			errs = append(errs, nonsense(m.name, "", "%s is a %s; it has to be a function", hooks[h].Name, v.Type()))
			continue
		}
		f, ok := fn.(*starlark.Function)
		if u := m.uses[hooks[h].Name]; u != nil && (!ok || f.Position().Line != u.pos.Line) {
			u.all = true // the name stands for another function by now
		}
		if ok {
			want := 1
			if hooks[h].record == nil {
				want = 0
			}
			if n := f.NumParams(); n != want {
				errs = append(errs, nonsense(f.Position().String(), "", "%s has %d parameters; it is called with %d", hooks[h].Name, n, want))
				continue
			}
		}
		s.functions[h] = append(s.functions[h], function{m, fn, m.topics[hooks[h].Name]})
	}
	for name := range m.topics {
		if hookNamed(name) == nil {
			errs = append(errs, nonsense(m.name, "", "topics: %s is none of the hooks", name))
		}
	}
	return errors.Join(errs...)
}

func (s *Set) now() time.Time {
	if s.options.Now != nil {
		return s.options.Now()
	}
	return time.Now()
}

// Scripts are the names of the scripts, in the order in which they are called.
func (s *Set) Scripts() []string {
	out := make([]string, len(s.scripts))
	for i, m := range s.scripts {
		out[i] = m.name
	}
	return out
}

// Hooks are the names of the functions that there are.
func (s *Set) Hooks() []string {
	var out []string
	for h := range s.functions {
		if len(s.functions[h]) > 0 {
			out = append(out, hooks[h].Name)
		}
	}
	return out
}

// Validates reports whether a script decides who may connect.
func (s *Set) Validates() bool { return len(s.functions[hookConnect]) > 0 }

// Initialize calls the function of that name of each script, A to Z, up to the
// first that fails.
func (s *Set) Initialize(ctx context.Context) error { return s.lifecycle(ctx, hookInitialize, false) }

// Destroy calls the function of that name of each script, A to Z, all of them.
func (s *Set) Destroy(ctx context.Context) error { return s.lifecycle(ctx, hookDestroy, true) }

func (s *Set) lifecycle(ctx context.Context, h hookID, all bool) error {
	var errs []error
	for _, f := range s.functions[h] {
		err := s.run(ctx, hooks[h].Name, s.limits.BackgroundTime, func(c *call) error {
			return c.invoke(f, hooks[h].Name, nil)
		})
		if err != nil {
			errs = append(errs, err)
			if !all {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// invoke calls a function of a script. What it returns must be None: a script
// that returns False to refuse something would otherwise accept it.
func (c *call) invoke(f function, name string, args starlark.Tuple) error {
	out, err := starlark.Call(c.thread, f.fn, args, nil)
	if err != nil {
		return fail(f.module.name, name, err)
	}
	if out != starlark.None {
		return nonsense(f.module.name, name, "it returned %s, which means nothing: set a field of its context", short(out))
	}
	return nil
}

// short is a value in a message.
func short(v starlark.Value) string {
	if measure(v, 1000) > 1000 {
		return "a " + v.Type()
	}
	return v.String()
}
