package script

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// fileOptions are the dialect: Starlark with what people of Python expect. There
// is no recursion, which could not be bounded.
var fileOptions = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true}

// Extension of scripts, and the end of the names of those with tests.
const (
	Extension     = ".star"
	TestExtension = "_test" + Extension
)

// maxSource bounds a script's file.
const maxSource = 1 << 20

// module is a file that was loaded: a script, or what a script loads.
type module struct {
	name    string // path in the folder, with slashes
	globals starlark.StringDict
	uses    map[string]*usage // by function of the top level
	topics  map[string][]string
	timers  []timer
}

// loader loads the files of a folder.
type loader struct {
	set     *Set
	files   fs.FS
	modules map[string]*module // nil: being loaded
	extra   starlark.StringDict
}

// names lists the scripts of a folder: its own files, A to Z, but those of
// tests and those that begin with a dot or an underscore. What is in folders
// below is only loaded by scripts.
func names(files fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() && strings.HasSuffix(name, Extension) && !strings.HasSuffix(name, TestExtension) && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "_") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// load returns a module, which it reads and runs if that was not done yet.
func (l *loader) load(c *call, name string) (*module, error) {
	m, known := l.modules[name]
	if known && m == nil {
		return nil, fmt.Errorf("%s is being loaded: two scripts load each other", name)
	}
	if known {
		return m, nil
	}
	l.modules[name] = nil
	m, err := l.run(c, name)
	if err != nil {
		delete(l.modules, name)
		return nil, err
	}
	l.modules[name] = m
	return m, nil
}

func (l *loader) run(c *call, name string) (*module, error) {
	text, err := read(l.files, name)
	if err != nil {
		return nil, &Failure{Place: name, Message: err.Error()}
	}
	f, err := fileOptions.Parse(name, text, 0)
	if err != nil {
		return nil, failures(name, err)
	}
	m := &module{name: name, uses: usages(f), topics: make(map[string][]string)}
	rewrite(f)
	predeclared := l.set.predeclared
	if l.extra != nil {
		predeclared = merged(predeclared, l.extra)
	}
	program, err := starlark.FileProgram(f, predeclared.Has)
	if err != nil {
		return nil, failures(name, err)
	}
	before := c.module
	c.module = m
	defer func() { c.module = before }()
	// Init freezes nothing that it returns.
	globals, err := program.Init(c.thread, predeclared)
	if err != nil {
		return nil, fail(name, "", err)
	}
	globals.Freeze()
	m.globals = globals
	return m, nil
}

func read(files fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return nil, plain(err)
	}
	if info.Size() > maxSource {
		return nil, fmt.Errorf("%d bytes are more than the %d that a script may have", info.Size(), maxSource)
	}
	text, err := fs.ReadFile(files, name)
	return text, plain(err)
}

// plain takes the path off a file system's error, which is shown beside it.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// loadModule is the language's load.
func loadModule(thread *starlark.Thread, name string) (starlark.StringDict, error) {
	c := callOf(thread)
	l := c.set.loader
	if l == nil {
		return nil, errors.New("load only works at the top level of a script")
	}
	from := "."
	if c.module != nil {
		from = path.Dir(c.module.name)
	}
	full := path.Join(from, name)
	if !fs.ValidPath(full) || !strings.HasSuffix(full, Extension) {
		return nil, fmt.Errorf("%q is no file of the scripts' folder whose name ends with %s", name, Extension)
	}
	m, err := l.load(c, full)
	if err != nil {
		return nil, err
	}
	return m.globals, nil
}

func merged(a, b starlark.StringDict) starlark.StringDict {
	out := make(starlark.StringDict, len(a)+len(b))
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}
