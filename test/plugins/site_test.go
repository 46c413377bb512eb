package plugins

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

func TestMain(m *testing.M) {
	code := m.Run()
	program.Clean()
	os.Exit(code)
}

// site is a running broker with one plugin under test.
type site struct {
	*testing.T
	b      *program.Broker
	plugin string
}

// status is what "broker plugin info" knows, as far as the tests look.
type status struct {
	Version string `json:"version"`
	State   string `json:"state"`
	PID     string `json:"pid"`
	// Counters are strings in JSON, and left out if they are zero.
	Restarts    string `json:"restarts"`
	Swaps       string `json:"swaps"`
	LastFailure string `json:"last_failure"`
	SwapFailure string `json:"swap_failure"`
}

func (s *status) ready() bool { return s.State == "PLUGIN_STATE_READY" }

// path makes programs of Debian come before others of the same name, such as a
// Python that lacks Debian's packages.
const path = "/usr/bin:/bin:/usr/local/bin"

// start starts a broker with the plugin of a folder.
func start(t *testing.T, folder, config string) *site {
	t.Helper()
	name := filepath.Base(folder)
	b := program.Gatehouse(t, program.Options{
		Folders: []string{folder},
		Config:  "plugins:\n  " + name + ":\n    env: {PATH: '" + path + "'}\n" + config,
	})
	return &site{T: t, b: b, plugin: name}
}

func (s *site) broker(args ...string) []byte {
	s.Helper()
	return program.Run(s, s.b.Dir, nil, program.Ours(s, "./cmd/broker"), append(args, "--run-dir", "run")...)
}

func (s *site) status() *status {
	s.Helper()
	st := new(status)
	if err := json.Unmarshal(s.broker("plugin", "info", s.plugin, "--json"), st); err != nil {
		s.Fatal(err)
	}
	return st
}

// await polls until the plugin is as wanted: there is nothing in another process
// to wait on.
func (s *site) await(what string, ok func(*status) bool) *status {
	s.Helper()
	for end := time.Now().Add(2 * program.Patience); ; time.Sleep(50 * time.Millisecond) {
		st := s.status()
		if ok(st) {
			return st
		}
		if time.Now().After(end) {
			s.Fatalf("the plugin is not %s: %+v", what, st)
		}
	}
}

// client runs one of mosquitto's programs to its end and returns what it said.
func (s *site) client(name string, args ...string) (output string, code int) {
	s.Helper()
	return s.run(name, args...).Wait()
}

// run starts one of mosquitto's programs, which shall print its lines at once.
func (s *site) run(name string, args ...string) *program.Process {
	s.Helper()
	host, port := s.b.HostPort()
	all := append([]string{"-oL", program.Need(s, name, "mosquitto-clients"), "-h", host, "-p", port, "-V", "5"}, args...)
	return program.Start(s, "", program.Need(s, "stdbuf", "coreutils"), all...)
}

// expect looks for a text in what a program says, and at how it ends.
func (s *site) expect(want string, good bool, name string, args ...string) {
	s.Helper()
	out, code := s.client(name, args...)
	if !strings.Contains(out, want) || (code == 0) != good {
		s.Errorf("%s %q: exit code %d, no %q in\n%s", name, args, code, want, out)
	}
}

// answers repeats a program until it ends well: what decides may have to do so
// within a deadline that a busy machine does not keep.
func (s *site) answers(name string, args ...string) {
	s.Helper()
	for end := time.Now().Add(2 * program.Patience); ; {
		out, code := s.client(name, args...)
		if code == 0 {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("%s %q: exit code %d\n%s", name, args, code, out)
		}
	}
}

// edit replaces a text in a file of the plugin, as an editor does.
func (s *site) edit(file, from, to string) {
	s.Helper()
	p := filepath.Join(s.b.Dir, "plugins", s.plugin, file)
	text, err := os.ReadFile(p)
	if err != nil {
		s.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		s.Fatalf("%s has no %q", p, from)
	}
	next := filepath.Join(filepath.Dir(p), ".next")
	if err := os.WriteFile(next, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(next, p); err != nil {
		s.Fatal(err)
	}
}

// pid is the number of the plugin's process.
func (s *status) pid(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(s.PID)
	if err != nil {
		t.Fatalf("pid %q: %v", s.PID, err)
	}
	return n
}

// gone waits until there is no such process.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(program.Patience); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// restart kills the plugin and waits for the next process of it.
func (s *site) restart() {
	s.Helper()
	old := s.await("ready", (*status).ready).pid(s.T)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	s.await("started again", func(st *status) bool { return st.ready() && st.PID != strconv.Itoa(old) && st.Restarts == "1" })
}

// refused starts a broker that can't start because of the plugin, and returns
// what it says.
func refused(t *testing.T, folder, config string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh") // sockets live below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := filepath.Base(folder)
	program.Copy(t, folder, filepath.Join(dir, "plugins", name))
	text := "listeners: [{url: 'tcp://127.0.0.1:0'}]\nplugin_dir: plugins\ndata_dir: data\nrun_dir: run\n" +
		"plugins:\n  " + name + ":\n    required: true\n    env: {PATH: '" + path + "'}\n" + config
	if err := os.WriteFile(filepath.Join(dir, "gatehouse.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := program.Start(t, dir, program.Ours(t, "./cmd/broker"), "serve", "--config", "gatehouse.yaml").Wait()
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	return out
}

// ends stops the broker in order: the plugin stops by itself when it is asked to.
func (s *site) ends() {
	s.Helper()
	pid := s.await("ready", (*status).ready).pid(s.T)
	s.b.Signal(syscall.SIGTERM)
	if _, code := s.b.Wait(); code != 0 {
		s.Errorf("exit code %d", code)
	}
	gone(s.T, pid)
}
