package forge_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-mqtt/gatehouse/internal/forge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree writes files and returns their folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *forge.Source {
	t.Helper()
	s, err := forge.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpen(t *testing.T) {
	for file, want := range map[string]string{"go.mod": "go", "main.go": "go", "main.py": "python", "package.json": "node"} {
		if s := open(t, tree(t, map[string]string{file: "", "README.md": ""})); s.Language != want {
			t.Errorf("%s: %s", file, s.Language)
		}
	}
	if _, err := forge.Open(tree(t, map[string]string{"README.md": ""})); err == nil || !strings.Contains(err.Error(), "neither go.mod, main.py nor package.json") {
		t.Errorf("no sources: %v", err)
	}
	if _, err := forge.Open(filepath.Join(t.TempDir(), "no")); err == nil || !strings.Contains(err.Error(), "there is no folder") {
		t.Errorf("no folder: %v", err)
	}
}

// program is a plugin as far as it describes itself.
const program = `package main

import "fmt"

func main() {
	fmt.Println(` + "`" + `{"schema": 1, "name": "tiny", "version": "1.0.0", "api": ["gatehouse.plugin.v1"], "services": ["a.B"]}` + "`" + `)
}
`

func tiny(t *testing.T, main string) string {
	t.Helper()
	return tree(t, map[string]string{"go.mod": "module tiny\n\ngo 1.26.0\n", "main.go": main})
}

// What the compiler says is said, and nothing comes of it.
func TestMakeSaysWhatIsWrong(t *testing.T) {
	for main, want := range map[string]string{
		strings.Replace(program, "fmt.Println", "fmt.Prinln", 1):         "./main.go:6:6: undefined: fmt.Prinln",
		strings.Replace(program, `"tiny"`, `"Tiny"`, 1):                  `name "Tiny": use up to 63 lower-case letters`,
		strings.Replace(program, "fmt.Println(", "panic(fmt.Sprint(", 1): "main.go:6",
	} {
		if strings.Contains(main, "panic(") {
			main = strings.Replace(main, "`)\n}", "`))\n}", 1)
		}
		var out strings.Builder
		_, err := open(t, tiny(t, main)).Make(t.Context(), &out)
		if !errors.Is(err, forge.ErrSource) || !strings.Contains(out.String(), want) {
			t.Errorf("%v, no %q in\n%s", err, want, out.String())
		}
	}
}

func make1(t *testing.T, dir string) *forge.Product {
	t.Helper()
	var out strings.Builder
	p, err := open(t, dir).Make(t.Context(), &out)
	if err != nil || out.Len() > 0 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return p
}

func install(t *testing.T, p *forge.Product, dir string, want bool) string {
	t.Helper()
	place, changed, err := p.Install(dir)
	if err != nil || changed != want {
		t.Fatalf("changed %v, want %v; %v", changed, want, err)
	}
	return place
}

func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// A plugin in Go is its program and its manifest; what an operator has put there
// stays, and what has not changed is not touched.
func TestInstall(t *testing.T) {
	src, dir := tiny(t, program), filepath.Join(t.TempDir(), "plugins")
	p := make1(t, src)
	place := install(t, p, dir, true)
	put(t, filepath.Join(place, "users.yaml"), "an operator's")
	before, err := os.Stat(filepath.Join(place, "plugin.json"))
	if err != nil {
		t.Fatal(err)
	}
	install(t, make1(t, src), dir, false)
	put(t, filepath.Join(src, "main.go"), strings.Replace(program, "1.0.0", "1.0.1", 1))
	install(t, make1(t, src), dir, true)
	after, err := os.Stat(filepath.Join(place, "plugin.json"))
	if err != nil || os.SameFile(before, after) {
		t.Errorf("plugin.json was written into: %v", err)
	}
	if got := list(t, place); got != ".installed.json plugin.json tiny users.yaml" && got != ".installed.json plugin.json tiny.exe users.yaml" {
		t.Errorf("the folder has %s", got)
	}
	if got := list(t, dir); got != "tiny" {
		t.Errorf("the plugin directory has %s", got)
	}
}

// A bare program in the plugin directory stays one.
func TestInstallOverAProgram(t *testing.T) {
	p := make1(t, tiny(t, program))
	dir := t.TempDir()
	name := filepath.Join(dir, "tiny")
	put(t, name, "old")
	if place := install(t, p, dir, true); place != name {
		t.Errorf("installed in %s", place)
	}
	install(t, p, dir, false)
	if info, err := os.Stat(name); err != nil || info.Size() < 1000 || info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	if got := list(t, dir); got != "tiny" {
		t.Errorf("the plugin directory has %s", got)
	}
}

// Saves are told once, whatever an editor does for one of them; what is none
// isn't.
func TestWatch(t *testing.T) {
	dir := tree(t, map[string]string{"main.py": "1"})
	s := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	ready, saved, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Watch(ctx, ready, saved) }()
	<-ready
	await := func(what string) {
		t.Helper()
		select {
		case <-saved:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s was not noticed", what)
		}
	}
	for i := range 10 {
		put(t, filepath.Join(dir, "main.py"), strings.Repeat("x", i))
	}
	await("a save")
	put(t, filepath.Join(dir, "lib", "a.py"), "1")
	await("a new folder")
	put(t, filepath.Join(dir, "lib", "b.py"), "1")
	await("a file in a new folder")
	for _, name := range []string{".main.py.swp", "main.py~", "README.md", "test_main.py", "node_modules/a.js", "__pycache__/x.pyc"} {
		put(t, filepath.Join(dir, name), "x")
	}
	select {
	case <-saved:
		t.Error("something else was taken for a save")
	case <-time.After(500 * time.Millisecond):
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
