package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Env names a folder with the programs of a checkout, so that several test
// binaries need not build them again: broker, authfile.
const Env = "GATEHOUSE_BIN"

var build struct {
	sync.Mutex
	dir  string
	done map[string]error
}

// Ours returns the path of one of this repository's programs, which is built
// when it is first asked for: "./cmd/broker", "./plugins/authfile".
func Ours(t testing.TB, pkg string) string {
	t.Helper()
	name := filepath.Base(pkg)
	if dir := os.Getenv(Env); dir != "" {
		return filepath.Join(dir, name)
	}
	build.Lock()
	defer build.Unlock()
	if build.dir == "" {
		dir, err := os.MkdirTemp("", "gatehouse-bin")
		if err != nil {
			t.Fatal(err)
		}
		build.dir, build.done = dir, make(map[string]error)
	}
	path := filepath.Join(build.dir, name)
	err, known := build.done[pkg]
	if !known {
		err = compile(pkg, path)
		build.done[pkg] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func compile(pkg, path string) error {
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Clean removes what Ours has built. It is for TestMain.
func Clean() {
	build.Lock()
	defer build.Unlock()
	if build.dir != "" {
		_ = os.RemoveAll(build.dir)
	}
}

// Root is the folder of the checkout.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Need returns the path of a program that has to be installed.
func Need(t testing.TB, name, debianPackage string) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/" + name, "/usr/sbin/" + name} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: apt-get install %s (test/install does it)", name, debianPackage)
	}
	return path
}

// NodeModules returns the folder of the npm packages that test/install puts
// beside test/node/package.json.
func NodeModules(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Root(), "test", "node", "node_modules")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%s is not there: npm ci in test/node (test/install does it)", dir)
	}
	return dir
}

// Tool returns the path of a program that is pinned in tools/NAME/go.mod; Go keeps
// what it has built. test/run has it built before the tests' time runs.
func Tool(t testing.TB, name string) string {
	t.Helper()
	cmd := exec.Command("go", "tool", "-modfile=tools/"+name+"/go.mod", "-n", name)
	cmd.Dir = Root()
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go tool %s: %v\n%s", name, err, exit.Stderr)
		}
		t.Fatalf("go tool %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}
