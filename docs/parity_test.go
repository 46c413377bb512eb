package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTest    = regexp.MustCompile("`([a-z/0-9]+) (Test\\w+)`")
	declaredTest = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// Every test that parity.md names exists in the package that it names.
func TestParity(t *testing.T) {
	declared := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel("..", filepath.Dir(path))
		for _, m := range declaredTest.FindAllSubmatch(text, -1) {
			declared[filepath.ToSlash(dir)+" "+string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := namedTest.FindAllStringSubmatch(page(t, "parity.md"), -1)
	if len(named) < 20 {
		t.Errorf("parity.md names %d tests only", len(named))
	}
	for _, m := range named {
		if !declared[m[1]+" "+m[2]] {
			t.Errorf("parity.md: %s has no %s", m[1], m[2])
		}
	}
}
