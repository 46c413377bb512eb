package pluginhost

import (
	"os"
	"path/filepath"
	"testing"
)

// What an interpreter or a package manager leaves beside a plugin is no new
// version of it; anything else is.
func TestFingerprintOfAFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("main.js", "1")
	v := &verifier{found: found{place: place{folder: dir}}}
	before := v.ownFiles()
	for _, name := range []string{".git/HEAD", ".main.js.swp", "__pycache__/main.pyc", "node_modules/a/index.js", "lib/__pycache__/x.pyc"} {
		if name == "lib/__pycache__/x.pyc" {
			write("lib/x.py", "x")
			before = v.ownFiles()
		}
		write(name, "x")
		if v.ownFiles() != before {
			t.Errorf("%s looks like a new version", name)
		}
	}
	for _, name := range []string{"main.js", "package-lock.json", "lib/y.py"} {
		write(name, "another")
		if v.ownFiles() == before {
			t.Errorf("%s does not look like a new version", name)
		}
		before = v.ownFiles()
	}
}
