package plugintest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// RunMain is for TestMain: if the test binary was started under the name of one
// of the plugins, the process is that plugin; otherwise it runs the tests. It
// does not return. A TestMain that checks for more, such as goroutines, calls
// [Dispatch] first instead.
//
//	func TestMain(m *testing.M) {
//		plugintest.RunMain(m, map[string]pluginapi.Plugin{"my-auth": plugin()})
//	}
func RunMain(m *testing.M, plugins map[string]pluginapi.Plugin) {
	Dispatch(plugins)
	os.Exit(m.Run())
}

// Dispatch makes the process a plugin, and ends it, if it was started under the
// name of one of the plugins. Otherwise it does nothing.
func Dispatch(plugins map[string]pluginapi.Plugin) {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if p, ok := plugins[name]; ok {
		os.Exit(pluginapi.ServeArgs(p, os.Args[1:]))
	}
}

// Install puts the test binary into a plugin directory under a plugin's name, for
// a test whose TestMain is [RunMain]. It returns the path.
func Install(t testing.TB, dir, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if strings.HasSuffix(self, ".exe") {
		path += ".exe"
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// A link, because the binary is large; a copy where the directory is on
	// another file system.
	if err := os.Link(self, path); err == nil {
		return path
	}
	binary, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(path, binary, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}
