package validator

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// setup is a setup with a configuration as JSON.
func setup(tb testing.TB, log *logbook, config string) *pluginapi.Setup {
	tb.Helper()
	s := pluginapi.NewSetup([]byte(config))
	s.Logger = log.logger()
	return s
}

// configFor is a configuration with nothing but the users file.
func configFor(tb testing.TB, path string) string {
	tb.Helper()
	b, err := json.Marshal(map[string]string{"file": path})
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// start opens the plugin on a users file and stops it when the test ends.
func start(tb testing.TB, log *logbook, path string) *Authfile {
	tb.Helper()
	a, err := open(tb.Context(), setup(tb, log, configFor(tb, path)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Stop(tb.Context()); err != nil {
			tb.Error(err)
		}
	})
	return a
}

// mayLogIn reports whether a user of [usersFile] is let in.
func mayLogIn(tb testing.TB, a *Authfile, name string) bool {
	tb.Helper()
	d, err := a.ValidateConnection(tb.Context(), login(name, name+"-pw", "x"))
	if err != nil {
		tb.Fatal(err)
	}
	return d.Word == pluginapi.Allow
}

func TestPluginDecides(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, usersFile(t, "alice"))
	log := newLogbook()
	a := start(t, log, path)
	if !mayLogIn(t, a, "alice") || mayLogIn(t, a, "bob") {
		t.Error("alice may not log in, or bob may")
	}
	lines := log.drain()
	if len(lines) != 1 || !strings.Contains(lines[0], `reason="unknown user"`) {
		t.Errorf("the log is %q", lines)
	}
	if strings.Contains(strings.Join(lines, ""), "-pw") {
		t.Errorf("there is a password in the log: %q", lines)
	}
	if err := a.Health(t.Context()); err != nil {
		t.Errorf("health: %v", err)
	}
	metrics, err := a.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`authfile_decisions_total{outcome="allowed"} 1`, `authfile_decisions_total{outcome="unknown_user"} 1`,
		`authfile_decisions_total{outcome="bad_password"} 0`, "authfile_users 1", "authfile_file_current 1",
	} {
		if !strings.Contains(string(metrics), want+"\n") {
			t.Errorf("metrics lack %s:\n%s", want, metrics)
		}
	}
}

// TestChangesAreFollowed changes the file in the ways in which editors and
// tools do.
func TestChangesAreFollowed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, path, content string)
	}{
		{"written in place", func(t *testing.T, path, content string) {
			t.Helper()
			write(t, path, content)
		}},
		{"another file put in its place", func(t *testing.T, path, content string) {
			t.Helper()
			write(t, path+".new", content)
			rename(t, path+".new", path)
		}},
		{"old file moved aside, new one made", func(t *testing.T, path, content string) {
			t.Helper()
			rename(t, path, path+"~")
			write(t, path, content)
		}},
		{"written in many steps", func(t *testing.T, path, content string) {
			t.Helper()
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, c := range []byte(content) {
				if _, err := f.Write([]byte{c}); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "conf")
			mkdir(t, dir)
			path := filepath.Join(dir, "users.yaml")
			write(t, path, usersFile(t, "alice"))
			log := newLogbook()
			a := start(t, log, path)
			tc.change(t, path, usersFile(t, "bob", "carol"))
			for {
				log.await(t, `INFO users file loaded`)
				if mayLogIn(t, a, "carol") { // what was written in steps may be loaded in steps
					break
				}
			}
			if mayLogIn(t, a, "alice") || !mayLogIn(t, a, "bob") {
				t.Error("alice may log in, or bob may not")
			}
		})
	}
}

// TestLinksAreFollowed replaces links as Kubernetes does for a ConfigMap.
func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"alice", "bob"} {
		mkdir(t, filepath.Join(dir, fmt.Sprint("..data-", i)))
		write(t, filepath.Join(dir, fmt.Sprint("..data-", i), "users.yaml"), usersFile(t, name))
	}
	link(t, "..data-0", filepath.Join(dir, "..data"))
	path := filepath.Join(dir, "users.yaml")
	link(t, filepath.Join("..data", "users.yaml"), path)

	log := newLogbook()
	a := start(t, log, path)
	if !mayLogIn(t, a, "alice") {
		t.Fatal("alice may not log in")
	}
	link(t, "..data-1", filepath.Join(dir, "..data.new"))
	rename(t, filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data"))
	log.await(t, "users file loaded")
	if mayLogIn(t, a, "alice") || !mayLogIn(t, a, "bob") {
		t.Error("alice may log in, or bob may not")
	}
	// What the link now leads to is written to in its own folder.
	write(t, filepath.Join(dir, "..data-1", "users.yaml"), usersFile(t, "carol"))
	log.await(t, "users file loaded")
	if !mayLogIn(t, a, "carol") {
		t.Error("carol may not log in")
	}
}

func TestBrokenFileKeepsOldRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, usersFile(t, "alice"))
	log := newLogbook()
	a := start(t, log, path)

	write(t, path+".new", "users:\n  - name: bob\n    password: hunter2\n")
	rename(t, path+".new", path)
	line := log.await(t, "users file is broken")
	for _, want := range []string{`line="3"`, `column="15"`, `password must be a hash`, `file="` + path + `"`, `password: ***`, `^`} {
		if !strings.Contains(line, want) {
			t.Errorf("the log does not say %s: %s", want, line)
		}
	}
	if strings.Contains(line, "hunter2") {
		t.Errorf("there is a password in the log: %s", line)
	}
	if !mayLogIn(t, a, "alice") {
		t.Error("alice may no longer log in")
	}
	err := a.Health(t.Context())
	if err == nil || !strings.Contains(err.Error(), "users.yaml:3:15: password must be a hash") {
		t.Errorf("health: %v", err)
	}
	if m, _ := a.Metrics(t.Context()); !strings.Contains(string(m), "authfile_file_current 0") || !strings.Contains(string(m), `authfile_loads_total{result="broken"} 1`) {
		t.Errorf("metrics: %s", m)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	log.await(t, "users file can't be read")
	if err := a.Health(t.Context()); err == nil || !mayLogIn(t, a, "alice") {
		t.Errorf("with the file gone: %v", err)
	}

	write(t, path, usersFile(t, "carol"))
	log.await(t, "users file loaded")
	if err := a.Health(t.Context()); err != nil || !mayLogIn(t, a, "carol") {
		t.Errorf("with a good file again: %v", err)
	}
}

func TestReloadOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, usersFile(t, "alice"))
	config := strings.Replace(configFor(t, path), "{", `{"reload": false, `, 1)
	a, err := open(t.Context(), setup(t, newLogbook(), config))
	if err != nil {
		t.Fatal(err)
	}
	if a.watch != nil {
		t.Error("the file is watched")
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReconfigure(t *testing.T) {
	dir := t.TempDir()
	one, two, broken := filepath.Join(dir, "one.yaml"), filepath.Join(dir, "two.yaml"), filepath.Join(dir, "broken.yaml")
	write(t, one, usersFile(t, "alice"))
	write(t, two, usersFile(t, "bob"))
	write(t, broken, "users: {}")
	log := newLogbook()
	a := start(t, log, one)

	for _, config := range []string{configFor(t, broken), configFor(t, filepath.Join(dir, "none.yaml")), `{"file": "x", "y": 1}`} {
		if err := a.Reconfigure(t.Context(), setup(t, log, config)); err == nil {
			t.Errorf("%s is accepted", config)
		}
		if !mayLogIn(t, a, "alice") {
			t.Errorf("after %s alice may no longer log in", config)
		}
	}
	if err := a.Health(t.Context()); err != nil {
		t.Errorf("a refused configuration shows as %v", err)
	}
	write(t, one, usersFile(t, "alice", "dave")) // the old file is still watched
	log.await(t, "users file loaded")

	if err := a.Reconfigure(t.Context(), setup(t, log, configFor(t, two))); err != nil {
		t.Fatal(err)
	}
	if mayLogIn(t, a, "alice") || !mayLogIn(t, a, "bob") {
		t.Error("alice may log in, or bob may not")
	}
	write(t, one, usersFile(t, "alice"))
	write(t, two, usersFile(t, "carol"))
	if line := log.await(t, "users file loaded"); !strings.Contains(line, "two.yaml") {
		t.Errorf("the old file is still watched: %s", line)
	}
	if !mayLogIn(t, a, "carol") {
		t.Error("carol may not log in")
	}
}

func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.yaml")
	write(t, broken, "users:\n  - nam: x\n  - name: y\n")
	good := filepath.Join(dir, "good.yaml")
	write(t, good, usersFile(t, "alice"))
	for _, tc := range []struct {
		name, config string
		want         []string
	}{
		{"nothing", "", []string{"file"}},
		{"no file", "{}", []string{"file"}},
		{"empty name", `{"file": ""}`, []string{"/file: must name the users file"}},
		{"unknown key", `{"file": "x", "fiel": "y"}`, []string{"fiel", "file, "}},
		{"not there", configFor(t, filepath.Join(dir, "none.yaml")), []string{"/file: open " + filepath.Join(dir, "none.yaml")}},
		{"unknown_users", `{"file": "x", "unknown_users": "allow"}`, []string{"/unknown_users", "refuse"}},
		{"hash_memory_mib", `{"file": "x", "hash_memory_mib": 1}`, []string{"/hash_memory_mib: must be 8 to 65536"}},
		{"time_zone", `{"file": "x", "time_zone": "Mars/Olympus"}`, []string{"/time_zone: unknown time zone Mars/Olympus"}},
		{"broken", configFor(t, broken), []string{broken + ":2:5: unknown key \"nam\"", broken + ":3:11: user \"y\" has no password"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := open(t.Context(), setup(t, newLogbook(), tc.config))
			checkErr := check(t.Context(), setup(t, newLogbook(), tc.config))
			if err == nil || checkErr == nil || err.Error() != checkErr.Error() {
				t.Fatalf("open: %v\ncheck: %v", err, checkErr)
			}
			if _, ok := errors.AsType[pluginapi.ConfigError](err); !ok {
				t.Errorf("%T is no remark about the configuration", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
	if err := check(t.Context(), setup(t, newLogbook(), configFor(t, good))); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
}

// TestRelativePath checks that a relative path is one in the folder in which
// the process was started.
func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "users.yaml", usersFile(t, "alice"))
	log := newLogbook()
	a := start(t, log, "users.yaml")
	if !mayLogIn(t, a, "alice") {
		t.Error("alice may not log in")
	}
	write(t, "users.yaml", usersFile(t, "bob"))
	if line := log.await(t, "users file loaded"); !strings.Contains(line, string(filepath.Separator)+"users.yaml") {
		t.Errorf("line is %s", line)
	}
}

func rename(tb testing.TB, from, to string) {
	tb.Helper()
	if err := os.Rename(from, to); err != nil {
		tb.Fatal(err)
	}
}

func mkdir(tb testing.TB, dir string) {
	tb.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
}

func link(tb testing.TB, target, name string) {
	tb.Helper()
	if err := os.Symlink(target, name); err != nil {
		tb.Fatal(err)
	}
}
