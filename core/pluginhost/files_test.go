//go:build unix

package pluginhost

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEnvironment(t *testing.T) {
	host := []string{
		"PATH=/opt/bin", "HOME=/root", "LANG=C", "AWS_SECRET=x", "APP_A=1", "APP_B=2", "APPLE=3", "TZ=UTC",
		"PLUGIN_MIN_PORT=1", "GATEHOUSE_PLUGIN=x", "ODD", "=C:=x",
	}
	tests := []struct {
		name   string
		wanted []string
		added  map[string]string
		want   []string
	}{
		{"allow-list", nil, nil, []string{"PATH=/opt/bin", "LANG=C", "TZ=UTC"}},
		{"name and prefix", []string{"HOME", "APP_*"}, nil, []string{"PATH=/opt/bin", "HOME=/root", "LANG=C", "APP_A=1", "APP_B=2", "TZ=UTC"}},
		{"everything is not a prefix", []string{"*"}, nil, []string{"PATH=/opt/bin", "LANG=C", "TZ=UTC"}},
		{"the host's own", []string{"PLUGIN_*", "GATEHOUSE_PLUGIN"}, nil, []string{"PATH=/opt/bin", "LANG=C", "TZ=UTC"}},
		{"added", nil, map[string]string{"X": "y", "LANG": "de"}, []string{"PATH=/opt/bin", "TZ=UTC", "LANG=de", "X=y"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := environment(host, tt.wanted, tt.added); !slices.Equal(got, tt.want) {
				t.Errorf("environment is %q", got)
			}
		})
	}
	if got := environment(nil, nil, nil); !slices.Equal(got, []string{"PATH=" + defaultPath}) {
		t.Errorf("without any: %q", got)
	}
}

func TestCheckEnv(t *testing.T) {
	for _, bad := range []string{"", "A=B", "A\x00", "PLUGIN_X", "GATEHOUSE_PLUGIN", "GATEHOUSE_LIFELINE_FD"} {
		if checkEnv(map[string]string{bad: "x"}) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := checkEnv(map[string]string{"GATEHOUSE_X": "x", "A": ""}); err != nil {
		t.Error(err)
	}
}

func TestDiscover(t *testing.T) {
	dir := t.TempDir()
	file := func(path string, mode os.FileMode) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, path), []byte("x"), mode))
		must(t, os.Chmod(filepath.Join(dir, path), mode))
	}
	file("folder/plugin.json", 0o600)
	file("remote/attach.json", 0o600)
	file("bare", 0o700)
	file("README.md", 0o600)
	file("conf.d/x", 0o600)
	file(".hidden", 0o700)
	file("..data/plugin.json", 0o600)
	all, err := discover(dir, []Config{
		{Name: "bare", Order: 2},
		{Name: "far", Attach: "unix:///run/far.sock", Order: -1},
		{Name: "missing", Order: 3},
		{Name: "other", Path: filepath.Join(dir, "folder"), Order: 4},
	}, slog.New(slog.DiscardHandler))
	must(t, err)
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
	}
	if want := []string{"far", "folder", "remote", "bare", "missing", "other"}; !slices.Equal(names, want) {
		t.Fatalf("found %q", names)
	}
	if p := all[0].place; p.attach != "/run/far.sock" || !all[0].named {
		t.Errorf("far is at %+v", p)
	}
	if p := all[1].place; p.folder == "" || p.root == "" || all[1].named {
		t.Errorf("folder is at %+v", p)
	}
	if p := all[3].place; p.file == "" {
		t.Errorf("bare is at %+v", p)
	}
	if err := all[4].place.err; err == nil || !strings.Contains(err.Error(), "has no missing (it has: bare, folder, remote)") {
		t.Errorf("missing: %v", err)
	}
	if p := all[5].place; p.folder != all[1].place.folder || p.root != p.folder {
		t.Errorf("other is at %+v", p)
	}
}

func TestDiscoverRefuses(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		configs []Config
		want    string
	}{
		{"name of a file", "My_Auth", nil, "lower-case letters"},
		{"name of the broker's socket", "admin", nil, "reserved"},
		{"name in the configuration", "", []Config{{Name: "a/b"}}, "lower-case letters"},
		{"twice", "", []Config{{Name: "a"}, {Name: "a"}}, "configured twice"},
		{"path and attach", "", []Config{{Name: "a", Path: "x", Attach: "unix:///x"}}, "exclude each other"},
		{"attach over TCP", "", []Config{{Name: "a", Attach: "tcp://x:1"}}, "not the address of a Unix socket"},
		{"attach without a path", "", []Config{{Name: "a", Attach: "unix://x"}}, "absolute path"},
		{"config", "", []Config{{Name: "a", Config: []byte("[1]")}}, "not a JSON object"},
		{"env", "", []Config{{Name: "a", Env: map[string]string{"PLUGIN_X": ""}}}, "set by the broker"},
		{"hash", "", []Config{{Name: "a", SHA256: "abc"}}, "64 hexadecimal"},
		{"start timeout", "", []Config{{Name: "a", StartTimeout: -1}}, "negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.file != "" {
				must(t, os.WriteFile(filepath.Join(dir, tt.file), nil, 0o700))
			}
			_, err := discover(dir, tt.configs, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v", err)
			}
			if tt.configs != nil {
				if _, err := New(Options{RunDir: "r", DataDir: "d", Plugins: tt.configs}); err == nil && tt.name != "twice" {
					t.Error("New accepts it")
				}
			}
		})
	}
	if _, err := discover(filepath.Join(t.TempDir(), "nowhere"), nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a directory that does not exist is accepted")
	}
}

// A broken link in the plugin directory is a plugin that can't be used, not one
// that is silently absent.
func TestBrokenLinkIsFound(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("/no/where", filepath.Join(dir, "auth")))
	all, err := discover(dir, nil, slog.New(slog.DiscardHandler))
	must(t, err)
	if len(all) != 1 || all[0].place.err == nil {
		t.Errorf("found %+v", all)
	}
}

func TestRunDirIsSwept(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, name := range []string{"short", strings.Repeat("long", 30)} {
		path := filepath.Join(t.TempDir(), name)
		d, err := openRunDir(path, log)
		must(t, err)
		id := d.number()
		dir, err := d.claim(id)
		must(t, err)
		if len(dir) > maxSocketDir {
			t.Errorf("%s is too long for sockets", dir)
		}
		socket := filepath.Join(dir, "plugin1234567890")
		l, err := net.Listen("unix", socket)
		must(t, err)
		must(t, d.link("auth", socket))
		stable := d.stable("auth")
		if !answersLink(t, path, stable) {
			t.Errorf("%s leads nowhere", stable)
		}
		if _, err := openRunDir(path, log); err == nil || !strings.Contains(err.Error(), "another broker uses it") {
			t.Errorf("a second time: %v", err)
		}
		spare := d.sockets
		// As if the broker had been killed: only the lock goes.
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = l.Close()
		_ = d.lock.Close()
		for _, foreign := range []string{"admin.sock", "notes.txt"} {
			must(t, os.WriteFile(filepath.Join(path, foreign), nil, 0o600))
		}
		must(t, os.Symlink("/elsewhere/x", filepath.Join(path, "foreign.sock")))

		d, err = openRunDir(path, log)
		must(t, err)
		if _, err := os.Lstat(stable); !os.IsNotExist(err) {
			t.Error("the link is left")
		}
		if _, err := os.Lstat(socket); !os.IsNotExist(err) {
			t.Error("the socket is left")
		}
		if d.sockets != spare {
			if _, err := os.Lstat(spare); !os.IsNotExist(err) {
				t.Errorf("%s is left", spare)
			}
		}
		for _, foreign := range []string{"admin.sock", "notes.txt", "foreign.sock"} {
			if _, err := os.Lstat(filepath.Join(path, foreign)); err != nil {
				t.Errorf("%s is gone", foreign)
			}
		}
		d.close()
		if _, err := os.Lstat(d.sockets); !os.IsNotExist(err) {
			t.Errorf("%s is left", d.sockets)
		}
	}
}

// answersLink connects through a link whose own path may be too long for a
// socket's.
func answersLink(t *testing.T, dir, stable string) bool {
	t.Helper()
	t.Chdir(dir)
	conn, err := net.DialTimeout("unix", filepath.Base(stable), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestRunDirIsPrivate(t *testing.T) {
	path := t.TempDir()
	must(t, os.Chmod(path, 0o777))
	if _, err := openRunDir(path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("error is %v", err)
	}
}

func TestUnlinkLeavesASuccessor(t *testing.T) {
	d, err := openRunDir(filepath.Join(t.TempDir(), "run"), slog.New(slog.DiscardHandler))
	must(t, err)
	defer d.close()
	first := filepath.Join(d.sockets, "1", "plugin1")
	second := filepath.Join(d.sockets, "2", "plugin1")
	must(t, d.link("auth", first))
	must(t, d.link("auth", second))
	stable := d.stable("auth")
	d.unlink("auth", first)
	if _, err := os.Lstat(stable); err != nil {
		t.Error("the successor's link is gone")
	}
	d.unlink("auth", second)
	if _, err := os.Lstat(stable); err == nil {
		t.Error("the link is left")
	}
}
