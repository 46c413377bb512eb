package scaffold

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// A version that the module proxy may have: a tag, but neither a pseudo-version
// (v0.0.0-20260102030405-0123456789ab), nor what git describes after a tag
// (v1.0.0-3-g0123456), nor a changed checkout (+dirty, -dirty).
var (
	tagged   = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	untagged = regexp.MustCompile(`(-[0-9]+-g[0-9a-f]+|[-.][0-9]{14}-[0-9a-f]{12}|-dirty)$`)
)

// Released reports whether a version of the broker is one that others can get.
func Released(version string) bool {
	return tagged.MatchString(version) && !untagged.MatchString(version)
}

// FindCheckout finds the checkout from which this program was built. It looks
// where the compiler saw this file, which a build with -trimpath does not tell;
// above the program itself, as bin/ lies in a checkout; and above the working
// directory.
func FindCheckout() (string, error) {
	var starts []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			starts = append(starts, filepath.Dir(real))
		}
	}
	if dir, err := os.Getwd(); err == nil {
		starts = append(starts, dir)
	}
	for _, dir := range starts {
		for ; ; dir = filepath.Dir(dir) {
			if CheckCheckout(dir) == nil {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("this broker is a development build, and its checkout was found neither where it was compiled, nor above the program, " +
		"nor above the working directory: name it with --checkout DIR")
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)"?\s*(//.*)?$`)

// CheckCheckout says why dir is no checkout of the broker.
func CheckCheckout(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return fmt.Errorf("%s is no checkout of the broker: %w", dir, err)
	}
	m := moduleLine.FindSubmatch(text)
	if m == nil || string(m[1]) != Module {
		return fmt.Errorf("%s is no checkout of the broker: its go.mod is not that of %s", dir, Module)
	}
	return nil
}

// goVersion is the version of Go that a checkout asks for.
func goVersion(checkout string) (string, error) {
	text, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "go "); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("%s/go.mod has no line \"go\"", checkout)
}
