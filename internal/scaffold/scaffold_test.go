package scaffold_test

import (
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/internal/scaffold"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func checkout(t *testing.T) string {
	t.Helper()
	dir, err := scaffold.FindCheckout()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every kind in every language is made, says its own name, has what its author
// needs, and is formatted. What it does is tested where it can be built:
// cmd/broker for Go, test/plugins for the others.
func TestCreate(t *testing.T) {
	for _, language := range scaffold.Languages {
		for _, kind := range scaffold.Kinds {
			t.Run(language+"/"+kind, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "deep", "my-plugin")
				p := scaffold.Project{Name: "my-plugin", Kind: kind, Language: language, Dir: dir, Broker: "broker", Checkout: checkout(t)}
				files, err := p.Create()
				if err != nil {
					t.Fatal(err)
				}
				list := strings.Join(files, " ")
				for _, want := range []string{"README.md", "Makefile", ".gitignore", "main."} {
					if !strings.Contains(list, want) {
						t.Errorf("no %s in %s", want, list)
					}
				}
				look(t, dir)
			})
		}
	}
}

func look(t *testing.T, dir string) {
	t.Helper()
	named := false
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if strings.HasPrefix(rel, "gatehouse") {
			return nil // the same in every plugin
		}
		named = named || strings.Contains(string(text), "my-plugin")
		for _, leftover := range []string{"<%", "%>", "<no value>", "node-interceptor", "python-validator"} {
			if strings.Contains(string(text), leftover) {
				t.Errorf("%s has %q in it", rel, leftover)
			}
		}
		if filepath.Ext(path) == ".go" {
			formatted, err := format.Source(text)
			if err != nil || string(formatted) != string(text) {
				t.Errorf("%s is not formatted: %v", rel, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !named {
		t.Error("the plugin's name is nowhere")
	}
}

// Names are those that a manifest may have.
func TestNames(t *testing.T) {
	for _, name := range []string{"a", "my-auth", "7", "", "My-Auth", "-a", "a-", "a b", "a/b", "../a", "a.b", "a_b", strings.Repeat("x", 63), strings.Repeat("x", 64), "ü"} {
		p := scaffold.Project{Name: name, Kind: "store", Language: "python"}
		_, manifest := pluginapi.ParseManifest([]byte(`{"schema": 1, "name": "` + name + `", "version": "1.0.0", "api": ["gatehouse.plugin.v1"], "services": ["a.B"]}`))
		if got := p.Check(); (got == nil) != (manifest == nil) {
			t.Errorf("%q: %v, a manifest says %v", name, got, manifest)
		}
	}
	for _, p := range []scaffold.Project{
		{Name: "admin", Kind: "store", Language: "go"},
		{Name: "main", Kind: "store", Language: "go"},
		{Name: "a", Kind: "thing", Language: "go"},
		{Name: "a", Kind: "store", Language: "cobol"},
	} {
		if p.Check() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}

// Nothing that is there is overwritten, and nothing half-made is left.
func TestVacant(t *testing.T) {
	parent := t.TempDir()
	p := scaffold.Project{Name: "a", Kind: "validator", Language: "python", Dir: filepath.Join(parent, "a")}
	if err := os.Mkdir(p.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Create(); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := p.Create(); err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Errorf("a folder with something in it: %v", err)
	}
	p.Dir = filepath.Join(parent, "file")
	if err := os.WriteFile(p.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Create(); err == nil {
		t.Error("a file was replaced")
	}
	p = scaffold.Project{Name: "b", Kind: "validator", Language: "go", Dir: filepath.Join(parent, "b"), Checkout: parent}
	if _, err := p.Create(); err == nil {
		t.Error("a folder without go.mod was taken for a checkout")
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestReleased(t *testing.T) {
	for version, want := range map[string]bool{
		"v1.2.3": true, "v0.1.0-rc.1": true, "devel": false, "6977c16": false, "v1.2.3-4-g6977c16": false, "v1.2.3-dirty": false,
		"v1.2.3+dirty": false, "v0.0.0-20261123094406-6977c161234a": false, "v1.2.4-0.20261123094406-6977c161234a+dirty": false, "v1.2.4-0.20261123094406-6977c161234a": false,
	} {
		if got := scaffold.Released(version); got != want {
			t.Errorf("Released(%q) = %v", version, got)
		}
	}
}

// A released broker needs no checkout.
func TestRelease(t *testing.T) {
	p := scaffold.Project{Name: "a", Kind: "store", Language: "go", Dir: filepath.Join(t.TempDir(), "a"), Release: "v1.2.3"}
	if _, err := p.Create(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(p.Dir, "go.mod"))
	if err != nil || !strings.Contains(string(text), "require "+scaffold.Module+" v1.2.3\n") || strings.Contains(string(text), "replace") {
		t.Errorf("go.mod is %s, %v", text, err)
	}
}

func TestCheckCheckout(t *testing.T) {
	dir := t.TempDir()
	for text, good := range map[string]bool{
		"module " + scaffold.Module + "\n\ngo 1.26.0\n": true, "module " + scaffold.Module + "/test\n": false, "": false,
	} {
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := scaffold.CheckCheckout(dir); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
