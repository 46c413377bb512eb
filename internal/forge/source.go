package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Source is a folder with the sources of a plugin.
type Source struct {
	Dir      string
	Language string // go, python or node
}

// Open finds out what a folder has. The error says what it lacks.
func Open(dir string) (*Source, error) {
	s := &Source{Dir: dir}
	switch {
	case s.has("go.mod"), s.any("*.go"):
		s.Language = "go"
	case s.has("main.py"):
		s.Language = "python"
	case s.has("package.json"):
		s.Language = "node"
	case !s.has("."):
		return nil, fmt.Errorf("there is no folder %s: \"broker plugin new\" makes one", dir)
	default:
		return nil, fmt.Errorf("%s is no plugin's folder: it has neither go.mod, main.py nor package.json", dir)
	}
	return s, nil
}

func (s *Source) has(name string) bool {
	_, err := os.Stat(filepath.Join(s.Dir, name))
	return err == nil
}

func (s *Source) any(pattern string) bool {
	found, err := filepath.Glob(filepath.Join(s.Dir, pattern))
	return err == nil && len(found) > 0
}

// ErrSource says that the sources are no good. What is wrong with them has been
// written.
var ErrSource = errors.New("not built")

// Make builds or checks the sources. What compilers and interpreters say goes to
// out as it is. The error is [ErrSource], or why that could not be done.
func (s *Source) Make(ctx context.Context, out io.Writer) (*Product, error) {
	switch s.Language {
	case "go":
		return s.makeGo(ctx, out)
	case "python":
		return s.makePython(ctx, out)
	default:
		return s.makeNode(ctx, out)
	}
}

// Product is a plugin that is fit to be installed.
type Product struct {
	Manifest *pluginapi.Manifest
	files    []file
}

// file is one file of a product: a copy of another, or a text.
type file struct {
	name string // relative, with slashes
	from string
	text []byte
	mode fs.FileMode
}

func (s *Source) makeGo(ctx context.Context, out io.Writer) (*Product, error) {
	tmp, err := os.MkdirTemp("", "gatehouse-dev-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	program := filepath.Join(tmp, "plugin"+exe)
	if err := s.run(ctx, out, nil, "go", "build", "-o", program, "."); err != nil {
		return nil, err
	}
	p, err := s.describe(ctx, out, program)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	p.files = append(p.files, file{name: p.Manifest.Name + exe, text: text, mode: 0o755})
	return p, nil
}

// exe ends the name of a program.
var exe = map[bool]string{true: ".exe"}[runtime.GOOS == "windows"]

// syntax compiles Python without writing anything.
const syntax = `import sys, traceback
bad = 0
for name in sys.argv[1:]:
    try:
        with open(name, "rb") as f:
            compile(f.read(), name, "exec")
    except SyntaxError:
        traceback.print_exc(limit=0)
        bad = 1
sys.exit(bad)`

func (s *Source) makePython(ctx context.Context, out io.Writer) (*Product, error) {
	files, err := s.sources()
	if err != nil {
		return nil, err
	}
	args := []string{"-B", "-c", syntax}
	for _, f := range files {
		if filepath.Ext(f.name) == ".py" && !strings.HasPrefix(f.name, "site-packages/") {
			args = append(args, f.name)
		}
	}
	if err := s.run(ctx, out, nil, "python3", args...); err != nil {
		return nil, err
	}
	p, err := s.describe(ctx, out, "python3", "-B", "main.py")
	if err != nil {
		return nil, err
	}
	p.files = append(p.files, files...)
	return p, nil
}

func (s *Source) makeNode(ctx context.Context, out io.Writer) (*Product, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, "package.json"))
	if err != nil {
		return nil, err
	}
	pkg := struct {
		Main         string            `json:"main"`
		Dependencies map[string]string `json:"dependencies"`
	}{Main: "main.js"}
	if err := json.Unmarshal(text, &pkg); err != nil {
		fmt.Fprintf(out, "package.json: %v\n", err)
		return nil, ErrSource
	}
	if len(pkg.Dependencies) > 0 && !s.has("node_modules") {
		return nil, fmt.Errorf("%s has no node_modules: run \"npm ci\" there", s.Dir)
	}
	files, err := s.sources()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if filepath.Ext(f.name) != ".js" || strings.HasPrefix(f.name, "node_modules/") || strings.HasPrefix(f.name, "gatehouse/") {
			continue // what describe loads is checked by that
		}
		if err := s.run(ctx, out, nil, "node", "--check", f.name); err != nil {
			return nil, err
		}
	}
	p, err := s.describe(ctx, out, "node", pkg.Main)
	if err != nil {
		return nil, err
	}
	p.files = append(p.files, files...)
	return p, nil
}

// describe asks the plugin for its manifest.
func (s *Source) describe(ctx context.Context, out io.Writer, argv ...string) (*Product, error) {
	var printed bytes.Buffer
	if err := s.run(ctx, out, &printed, argv[0], append(argv[1:], "describe")...); err != nil {
		return nil, err
	}
	m, err := pluginapi.ParseManifest(printed.Bytes())
	if err != nil {
		fmt.Fprintf(out, "what it describes is not acceptable: %v\n", err)
		return nil, ErrSource
	}
	return &Product{Manifest: m, files: []file{{name: "plugin.json", text: printed.Bytes(), mode: 0o644}}}, nil
}

// run runs a program in the folder.
func (s *Source) run(ctx context.Context, out, stdout io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.Dir
	cmd.Stderr = out
	if cmd.Stdout = stdout; stdout == nil {
		cmd.Stdout = out
	}
	err := cmd.Run()
	if _, ran := errors.AsType[*exec.ExitError](err); ran && ctx.Err() == nil {
		return ErrSource
	}
	return err
}

// passedOver are names that are no part of what is installed or watched.
func passedOver(name string) bool {
	switch name {
	case "__pycache__", "build", "Makefile", "README.md", "plugin.json":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") ||
		strings.HasPrefix(name, "test_") && strings.HasSuffix(name, ".py") || strings.HasSuffix(name, ".test.js")
}

// sources are the files that a plugin in an interpreted language consists of.
func (s *Source) sources() ([]file, error) {
	var all []file
	err := filepath.WalkDir(s.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.Dir, path)
		if err != nil || rel == "." {
			return err
		}
		first, _, below := strings.Cut(filepath.ToSlash(rel), "/")
		foreign := below && (first == "node_modules" || first == "site-packages")
		if !foreign && passedOver(e.Name()) || strings.HasPrefix(e.Name(), ".") || e.Name() == "__pycache__" {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err // what a link leads to would be checked there
		}
		all = append(all, file{name: filepath.ToSlash(rel), from: path, mode: info.Mode().Perm() & 0o755})
		return nil
	})
	return all, err
}
