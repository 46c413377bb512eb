package plugins

import (
	"path/filepath"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// begin makes a plugin with "broker plugin new" and gives its folder.
func begin(t *testing.T, language, kind string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my-"+kind)
	program.Run(t, "", nil, program.Ours(t, "./cmd/broker"), "plugin", "new", "my-"+kind, "--lang", language, "--kind", kind, dir)
	if language == "node" { // its packages are those of the example
		program.Copy(t, filepath.Join(nodeExample(t), "node_modules"), filepath.Join(dir, "node_modules"))
	}
	return dir
}

// What "broker plugin new" makes passes its own test, and its folder runs in a
// broker. Those in Go are tested beside the command.
func TestNew(t *testing.T) {
	t.Parallel()
	python(t)
	for _, language := range []string{"python", "node"} {
		for _, kind := range []string{"validator", "interceptor", "observer", "store"} {
			t.Run(language+"/"+kind, func(t *testing.T) {
				t.Parallel()
				dir := begin(t, language, kind)
				program.Run(t, dir, nil, program.Need(t, "make", "make"), "test", "build", "PYTHON="+python(t))
				s := start(t, filepath.Join(dir, "build", "my-"+kind), "")
				st := s.await("ready", (*status).ready)
				if st.Version != "0.1.0" {
					t.Errorf("it is %+v", st)
				}
				s.ends()
			})
		}
	}
}

// The stores keep what every store has to keep.
func TestNewStores(t *testing.T) {
	t.Parallel()
	for language, argv := range map[string][]string{
		"python": {python(t), "-B", "main.py"},
		"node":   {program.Need(t, "node", "nodejs"), "main.js"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			dir := begin(t, language, "store")
			last := len(argv) - 1
			run := wrap(t, append(argv[:last:last], filepath.Join(dir, argv[last]))...)
			plugintest.TestStore(t, func(t testing.TB, data string) pluginapi.Store {
				return plugintest.Launch(t, run, plugintest.DataDir(data), plugintest.Config(`{"sync": false}`))
			})
		})
	}
}
