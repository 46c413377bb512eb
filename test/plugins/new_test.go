package plugins

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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

// conforms runs the conformance kit.
func conforms(t *testing.T, folder string) {
	t.Helper()
	program.Run(t, "", nil, program.Ours(t, "./cmd/broker"), "plugin", "check", folder, "--env", "PATH="+path)
}

// What "broker plugin new" makes passes its own test, and keeps what the
// contract asks of every plugin. Those in Go are tested beside the command.
func TestNew(t *testing.T) {
	t.Parallel()
	python(t)
	for _, language := range []string{"python", "node"} {
		for _, kind := range []string{"validator", "interceptor", "observer", "store"} {
			t.Run(language+"/"+kind, func(t *testing.T) {
				t.Parallel()
				dir := begin(t, language, kind)
				program.Run(t, dir, nil, program.Need(t, "make", "make"), "test", "build", "PYTHON="+python(t))
				conforms(t, filepath.Join(dir, "build", "my-"+kind))
			})
		}
	}
}

// With "broker plugin dev" beside a running broker: each language's own words
// for a mistake, and each save taken over.
func TestDev(t *testing.T) {
	t.Parallel()
	python(t)
	for _, c := range []struct {
		language, file, from, broken, want, fixed string
	}{
		{
			"python", "main.py", `"say the word"`, `"say the word`, `File "main.py", line`, `"another word"`,
		},
		{
			"node", "main.js", `'say the word'`, `'say the word`, `main.js:`, `'another word'`,
		},
	} {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			dir := begin(t, c.language, "validator")
			b := program.Gatehouse(t, program.Options{Config: "plugins:\n  my-validator:\n    required: false\n    env: {PATH: '" + path + "'}\n"})
			s := &site{T: t, b: b, plugin: "my-validator"}
			dev := program.Start(t, dir, "/usr/bin/env", "PATH="+path+":"+os.Getenv("PATH"),
				program.Ours(t, "./cmd/broker"), "plugin", "dev", ".", "--run-dir", filepath.Join(b.Dir, "run"))
			says := func(want string) {
				t.Helper()
				dev.WaitOutput(want, func(out string) bool { return strings.Contains(out, want) })
			}
			save := func(from, to string) {
				t.Helper()
				file := filepath.Join(dir, c.file)
				text, err := os.ReadFile(file)
				if err != nil || !strings.Contains(string(text), from) {
					t.Fatalf("%s has no %q: %v", file, from, err)
				}
				if err := os.WriteFile(file, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			says("my-validator 0.1.0 is ready (pid ")
			says("Ctrl-C ends this")
			s.expect("Bad User Name or Password", false, "mosquitto_pub", "-u", "a", "-P", "guess", "-t", "x", "-m", "1")
			save(c.from, c.broken)
			says(c.want)
			says("not built, nothing was installed; my-validator 0.1.0 (pid ")
			save(c.broken, c.fixed)
			says("it took over from pid ")
			save("sesame", "")
			says("my-validator is refused: ")
			says("/password: must not be empty")
			s.expect("Bad User Name or Password", false, "mosquitto_pub", "-u", "a", "-P", "guess", "-t", "x", "-m", "1")
			dev.Signal(syscall.SIGINT)
			if _, code := dev.Wait(); code != 0 {
				t.Errorf("Ctrl-C ends it with %d", code)
			}
		})
	}
}
