package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/gatehouse-mqtt/gatehouse/examples/plugins"
)

// Module is the module whose SDK plugins in Go use.
const Module = "github.com/gatehouse-mqtt/gatehouse"

// Kinds are the kinds of plugin, Languages the languages.
var (
	Kinds     = []string{"validator", "interceptor", "observer", "store"}
	Languages = []string{"go", "python", "node"}
)

// Project is a plugin to begin.
type Project struct {
	Name     string
	Kind     string // one of Kinds
	Language string // one of Languages
	// Dir is where it goes. It must not exist, or be empty.
	Dir string
	// Broker is the command by which the Makefile runs the broker.
	Broker string
	// Release is the version of the SDK that a plugin in Go requires. Empty: that
	// of Checkout, the folder of a checkout of the broker.
	Release  string
	Checkout string
}

// The name of a plugin, as its manifest and the broker's plugin directory want
// it.
var nameSyntax = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Check says what is wrong with a project.
func (p *Project) Check() error {
	switch {
	case !nameSyntax.MatchString(p.Name):
		return fmt.Errorf("name %q: use up to 63 lower-case letters, digits and dashes", p.Name)
	case p.Name == "admin":
		return errors.New("the name admin is reserved for the broker itself: use another")
	case p.Language == "go" && p.Name == "main":
		// "go build" would not tell it from a package.
		return errors.New("a module in Go can't be called main: use another name")
	case !slices.Contains(Kinds, p.Kind):
		return fmt.Errorf("kind %q: use one of %s", p.Kind, strings.Join(Kinds, ", "))
	case !slices.Contains(Languages, p.Language):
		return fmt.Errorf("language %q: use one of %s", p.Language, strings.Join(Languages, ", "))
	}
	return nil
}

// Create makes the folder, whole or not at all, and returns the names of its
// files as the author sees them: those that others wrote are left out.
func (p *Project) Create() ([]string, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if err := vacant(p.Dir); err != nil {
		return nil, err
	}
	parent := filepath.Dir(filepath.Clean(p.Dir))
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return nil, err
	}
	draft, err := os.MkdirTemp(parent, "."+filepath.Base(p.Dir)+"-")
	if err != nil {
		return nil, err
	}
	files, err := p.fill(draft)
	if err == nil {
		err = os.Chmod(draft, 0o755) //nolint:gosec // a folder of sources
	}
	if err == nil {
		_ = os.Remove(p.Dir) // an empty one
		err = os.Rename(draft, p.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(draft))
	}
	return files, nil
}

// vacant reports an error if there is something at dir.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s can't become the plugin's folder: %w", dir, err)
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty, and nothing is overwritten: give another folder", dir)
	}
	return nil
}

//go:embed all:templates
var templates embed.FS

// facts are what templates may say.
type facts struct {
	*Project
	Module     string
	Go         string // version of the language
	Require    string
	What       string
	ConfigYAML string
}

func (p *Project) facts() (*facts, error) {
	f := &facts{Project: p, Module: Module, Require: p.Release}
	f.What = map[string]string{
		"validator": "A validator", "interceptor": "An interceptor", "observer": "An observer", "store": "A store of retained messages",
	}[p.Kind]
	f.ConfigYAML = map[string]string{
		"validator": "{password: open-sesame}", "interceptor": "{filter: 'sensors/#'}",
		"observer": "{short: 5s}", "store": "{file: kept.jsonl}",
	}[p.Kind]
	if p.Kind == "observer" && p.Language != "go" {
		f.ConfigYAML = "{short: 5}"
	}
	if p.Language != "go" {
		return f, nil
	}
	if p.Release != "" {
		f.Go = "1.26.0"
		return f, nil
	}
	f.Require = "v0.0.0"
	var err error
	f.Go, err = goVersion(p.Checkout)
	return f, err
}

// fill writes all files below dir.
func (p *Project) fill(dir string) ([]string, error) {
	f, err := p.facts()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, set := range []string{"common", p.Kind} {
		root := path.Join("templates", p.Language, set)
		err := fs.WalkDir(templates, root, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := render(name, f)
			if err != nil {
				return err
			}
			out := strings.TrimSuffix(strings.TrimPrefix(name, root+"/"), ".tmpl")
			out = strings.Replace(out, "dot-", ".", 1)
			files = append(files, out)
			return write(dir, out, text)
		})
		if err != nil {
			return nil, err
		}
	}
	more, err := p.borrow(dir)
	files = append(files, more...)
	slices.Sort(files)
	return files, err
}

func render(name string, f *facts) ([]byte, error) {
	t, err := template.New(path.Base(name)).Delims("<%", "%>").ParseFS(templates, name)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = t.Execute(&b, f)
	return []byte(b.String()), err
}

// borrow copies what others wrote.
func (p *Project) borrow(dir string) ([]string, error) {
	switch p.Language {
	case "python":
		return []string{"gatehouse/"}, os.CopyFS(dir, plugins.Python())
	case "node":
		if err := os.CopyFS(dir, plugins.Node()); err != nil {
			return nil, err
		}
		return []string{"gatehouse/", "package.json", "package-lock.json"}, p.renamePackage(dir)
	default:
		if p.Checkout == "" {
			return nil, nil
		}
		// All of it: "go mod tidy" takes out what is too much, and needs nothing new.
		sums, err := os.ReadFile(filepath.Join(p.Checkout, "go.sum"))
		if err != nil {
			return nil, err
		}
		return nil, write(dir, "go.sum", sums)
	}
}

// renamePackage puts the plugin's name in place of the example's.
func (p *Project) renamePackage(dir string) error {
	for _, name := range []string{"package.json", "package-lock.json"} {
		file := filepath.Join(dir, name)
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		out := strings.ReplaceAll(string(text), `"name": "node-interceptor"`, `"name": "`+p.Name+`"`)
		out = strings.Replace(out, `"version": "1.0.0"`, `"version": "0.1.0"`, 2)
		out = exampleDescription.ReplaceAllString(out, "")
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil { //nolint:gosec // a source
			return err
		}
	}
	return nil
}

var exampleDescription = regexp.MustCompile(`(?m)^  "description": .*\n`)

func write(dir, name string, text []byte) error {
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a folder of sources
		return err
	}
	return os.WriteFile(file, text, 0o644) //nolint:gosec // a source
}
