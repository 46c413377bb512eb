package forge

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What belongs to a plugin in an interpreted language: the packages that it uses
// whole, of its own files those that it runs with.
func TestSources(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{
		"main.js", "main.test.js", "test_main.py", "README.md", "Makefile", "plugin.json", ".git/HEAD", "build/x/main.js", "lib/a.js", "main.js~",
		"__pycache__/a.pyc", "node_modules/a/build/src/index.js", "node_modules/a/README.md", "node_modules/.bin/a", "site-packages/grpc/test_x.py",
		"site-packages/grpc/__pycache__/x.pyc",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".", wd} {
		files, err := (&Source{Dir: dir}).sources()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			got = append(got, f.name)
		}
		want := []string{"lib/a.js", "main.js", "node_modules/a/README.md", "node_modules/a/build/src/index.js", "site-packages/grpc/test_x.py"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", dir, got)
		}
	}
}
