package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// listed is what "go list" says of a package.
type listed struct {
	ImportPath, Name, Doc string
	Imports               []string
	Module                *struct{ Path string }
}

// graph holds packages by name; those of this module without the module.
type graph map[string]listed

// load asks for all packages that anything here needs on one system, tests
// left out.
func load(root, system string) (graph, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Doc,Imports,Module", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &stderr)
	}
	g := make(graph)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g, nil
		}
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for i, path := range p.Imports {
			p.Imports[i] = short(path)
		}
		g[short(p.ImportPath)] = p
	}
}

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

// ours returns the packages of this module in order.
func (g graph) ours() []string {
	var names []string
	for name, p := range g {
		if p.Module != nil && p.Module.Path == module {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// path returns the shortest way from a package to one that fits, both
// included; nil if there is none.
func (g graph) path(from string, fits func(string) bool) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]].Imports {
			if _, seen := came[next]; seen {
				continue
			}
			came[next] = queue[0]
			if !fits(next) {
				queue = append(queue, next)
				continue
			}
			way := []string{next}
			for at := came[next]; at != ""; at = came[at] {
				way = append(way, at)
			}
			slices.Reverse(way)
			return way
		}
	}
	return nil
}

// fits reports whether a package is one that a pattern stands for.
func fits(pattern, name string) bool {
	prefix, tree := strings.CutSuffix(pattern, "...")
	return name == strings.TrimSuffix(prefix, "/") || tree && strings.HasPrefix(name, prefix)
}

func anyFits(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, name) })
}

// strays returns every import that the rows don't allow, in words.
func (g graph) strays(rows []row) []string {
	var wrong []string
	for _, name := range g.ours() {
		i := slices.IndexFunc(rows, func(r row) bool { return fits(r.pkg, name) })
		if i < 0 {
			if fits("core/...", name) {
				wrong = append(wrong, name+" has no row in rules_test.go that says what it may import, and why")
			}
			continue
		}
		r := rows[i]
		for _, path := range g[name].Imports {
			if p := g[path]; p.Module == nil || p.Module.Path != module || anyFits(r.may, path) {
				continue
			}
			wrong = append(wrong, fmt.Sprintf("%s imports %s, and may import %s of this module: %s",
				name, path, list(r.may), r.why))
		}
	}
	return wrong
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// breaches returns every import that is banned, with the way to it.
func (g graph) breaches(bans []ban) []string {
	var wrong []string
	for _, b := range bans {
		for _, name := range g.ours() {
			if !fits(b.from, name) || anyFits(b.except, name) {
				continue
			}
			for _, never := range b.never {
				// A package may be below what others must not import.
				if fits(never, name) {
					continue
				}
				if way := g.path(name, func(p string) bool { return fits(never, p) }); way != nil {
					wrong = append(wrong, fmt.Sprintf("%s: %s", strings.Join(way, " -> "), b.why))
				}
			}
		}
	}
	return wrong
}

// moduleRoot is the folder of go.mod, seen from this one.
func moduleRoot() (string, error) { return filepath.Abs(filepath.Join("..", "..")) }
