package plugins

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// example returns the folder of an example, and sees to it that what it needs
// is installed.
func example(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(program.Root(), "examples", "plugins", name)
}

func python(t *testing.T) string {
	t.Helper()
	p := program.Need(t, "python3", "python3-grpcio")
	if out, err := exec.Command(p, "-c", "import grpc, google.protobuf").CombinedOutput(); err != nil {
		t.Fatalf("python3-grpcio is not installed (test/install does it): %s", out)
	}
	return p
}

// The example in Python, with real clients: what it lets in and refuses, and
// that it survives kill -9 and its own replacement.
func TestPythonValidator(t *testing.T) {
	t.Parallel()
	python(t)
	s := start(t, example(t, "python-validator"), "    config: {password: open, banned: [thief]}\n")
	lamp := []string{"-i", "lamp", "-u", "any", "-P", "open", "-q", "1"}
	s.expect("Bad User Name or Password", false, "mosquitto_pub", "-i", "lamp", "-u", "any", "-P", "guess", "-t", "home/lamp/on", "-m", "1")
	s.expect("Bad User Name or Password", false, "mosquitto_pub", "-i", "lamp", "-t", "home/lamp/on", "-m", "1")
	s.expect("Banned", false, "mosquitto_pub", "-i", "thief", "-u", "any", "-P", "open", "-t", "home/thief/on", "-m", "1")
	s.expect("", true, "mosquitto_pub", append(lamp, "-t", "home/lamp/on", "-m", "1")...)
	s.expect("Not authorized", true, "mosquitto_pub", append(lamp, "-t", "home/other/on", "-m", "1")...)

	s.restart()
	s.expect("", true, "mosquitto_pub", append(lamp, "-t", "home/lamp/on", "-m", "1")...)

	sub := s.run("mosquitto_sub", "-d", "-i", "radio", "-u", "any", "-P", "open", "-t", "home/radio/#", "-C", "1")
	sub.WaitOutput("that it has subscribed", func(out string) bool { return strings.Contains(out, "Subscribed (mid: ") })
	s.edit("main.py", `gatehouse.deny(gatehouse.BANNED, "not you")`, `gatehouse.deny(gatehouse.SERVER_BUSY, "later")`)
	s.await("replaced", func(st *status) bool { return st.ready() && st.Swaps == "1" })
	s.expect("Server busy", false, "mosquitto_pub", "-i", "thief", "-u", "any", "-P", "open", "-t", "home/thief/on", "-m", "1")

	// A version that is no Python, and one that can't start: the old one goes on.
	s.edit("main.py", "def validate(", "def validate((")
	s.await("refusing the new version", func(st *status) bool { return strings.Contains(st.SwapFailure, "handshake") })
	s.expect("Server busy", false, "mosquitto_pub", "-i", "thief", "-u", "any", "-P", "open", "-t", "home/thief/on", "-m", "1")
	s.edit("main.py", "def validate((", "def validate(")
	s.edit("main.py", "if not self.config.password:", "if True:")
	s.await("refusing the new version", func(st *status) bool { return strings.Contains(st.SwapFailure, "/password: must not be empty") })

	s.edit("main.py", "if True:", "if not self.config.password:")
	s.await("replaced again", func(st *status) bool { return st.ready() && st.Swaps == "2" })
	s.expect("", true, "mosquitto_pub", "-i", "radio2", "-u", "any", "-P", "open", "-t", "home/radio2/on", "-m", "1")
	sub.Signal(syscall.SIGTERM)
	if out, _ := sub.Wait(); strings.Contains(out, "DISCONNECT") && strings.Contains(out, "received DISCONNECT") {
		t.Errorf("the subscriber was disconnected:\n%s", out)
	}
	s.ends()
}

// What makes no sense is told with its place, before any client can come.
func TestPythonConfig(t *testing.T) {
	t.Parallel()
	python(t)
	folder := example(t, "python-validator")
	for config, want := range map[string]string{
		"{pasword: x}":                `/pasword: unknown key "pasword": did you mean "password"? known keys: password, banned`,
		"{password: 7}":               `/password: must be of type string, not integer`,
		"{password: x, banned: [[]]}": `/banned/0: must be of type string, not array`,
		`{password: ""}`:              `/password: must not be empty`,
	} {
		if out := refused(t, folder, "    config: "+config+"\n"); !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", config, want, out)
		}
	}
}

// Nothing of a plugin outlives a broker that was killed.
func TestPythonEndsWithTheBroker(t *testing.T) {
	t.Parallel()
	python(t)
	s := start(t, example(t, "python-validator"), "")
	pid := s.await("ready", (*status).ready).pid(t)
	s.b.Crash()
	gone(t, pid)
}

// The manifest in the folder is what the program says of itself.
func TestManifests(t *testing.T) {
	t.Parallel()
	python(t)
	for name, argv := range map[string][]string{
		"python-validator": {python(t), "-B", "main.py"},
		"node-interceptor": {program.Need(t, "node", "nodejs"), "main.js"},
	} {
		folder := example(t, name)
		want := program.Run(t, folder, nil, argv[0], append(argv[1:], "describe")...)
		got, err := os.ReadFile(filepath.Join(folder, "plugin.json"))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: plugin.json is not what describe prints:\n%s", name, want)
		}
	}
}

// The generated code in the repository is what Debian's protoc makes of the
// contract.
func TestGeneratedPython(t *testing.T) {
	t.Parallel()
	program.Need(t, "protoc", "protobuf-compiler")
	program.Need(t, "grpc_python_plugin", "protobuf-compiler-grpc")
	dir := t.TempDir()
	program.Run(t, program.Root(), nil, program.Need(t, "make", "make"), "proto-python", "PYTHON_OUT="+dir)
	fresh, err := filepath.Glob(filepath.Join(dir, "gatehouse/plugin/v1/*.py"))
	if err != nil || len(fresh) == 0 {
		t.Fatalf("nothing was generated: %v", err)
	}
	committed, err := filepath.Glob(filepath.Join(example(t, "python-validator"), "gatehouse/plugin/v1/*.py"))
	if err != nil || len(committed) != len(fresh) {
		t.Errorf("%d files are committed, %d generated (%v)", len(committed), len(fresh), err)
	}
	for _, f := range fresh {
		want, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(example(t, "python-validator"), "gatehouse/plugin/v1", filepath.Base(f)))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not up to date (%v): make proto-python", filepath.Base(f), err)
		}
	}
}
