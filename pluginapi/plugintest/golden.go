package plugintest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// update has [Golden] write files. The name has a prefix, because tests often
// have a flag -update of their own; that one counts too.
var update = flag.Bool("plugintest.update", false, "write the files of plugintest.Golden")

// updating reports whether golden files are to be written.
func updating() bool {
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		return true
	}
	return *update
}

// Golden compares got with the file testdata/TEST.golden, where TEST is the name
// of the test, and fails the test where they differ: a string or bytes as they
// are, anything else as indented JSON. "go test -plugintest.update" (or -update, if
// the test has such a flag) writes the files; look at what changed before you keep
// it. A test has one golden file; give others to
// subtests.
func Golden(t testing.TB, got any) {
	t.Helper()
	text, err := goldenText(got)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", goldenName(t.Name()))
	if updating() {
		err := os.MkdirAll(filepath.Dir(path), 0o750)
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("there is no %s yet: write it with go test -run '^%s$' -plugintest.update", path, t.Name())
	}
	if err != nil {
		t.Fatal(err)
	}
	// Git may have given it the line ends of the system.
	want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
	if line, w, g := firstDifference(want, text); line > 0 {
		t.Errorf("%s, line %d:\n want: %s\n  got: %s\nif that is right: go test -run '^%s$' -plugintest.update", path, line, w, g, t.Name())
	}
}

func goldenText(got any) ([]byte, error) {
	switch x := got.(type) {
	case string:
		return []byte(x), nil
	case []byte:
		return x, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(got)
	return b.Bytes(), err
}

// goldenName makes a file name of a test's.
func goldenName(test string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`<>:"\|?*`, r) || r < ' ' {
			return '_'
		}
		return r
	}, filepath.FromSlash(test)) + ".golden"
}

// firstDifference returns the number of the first line that differs, 0 if none
// does.
func firstDifference(want, got []byte) (line int, w, g string) {
	wants, gots := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(wants), len(gots)) {
		w, g = "(the end)", "(the end)"
		if i < len(wants) {
			w = wants[i]
		}
		if i < len(gots) {
			g = gots[i]
		}
		if w != g {
			return i + 1, w, g
		}
	}
	return 0, "", ""
}
