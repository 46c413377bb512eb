//go:build unix

package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// newFolder makes a plugin's folder, and hashOf hashes it.
func newFolder(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "p")
	must(t, os.Mkdir(folder, 0o700))
	must(t, os.Mkdir(filepath.Join(folder, "lib"), 0o700))
	must(t, os.WriteFile(filepath.Join(folder, "p"), []byte("hello\n"), 0o700))
	must(t, os.WriteFile(filepath.Join(folder, "lib", "a b"), nil, 0o600))
	must(t, os.Symlink("../p", filepath.Join(folder, "lib", "link")))
	return folder
}

func hashOf(t *testing.T, folder string) string {
	t.Helper()
	sum, err := place{folder: folder}.hash(t.Context())
	must(t, err)
	return sum
}

// Anybody can compute the hash from what the guide says.
func TestHashIsAsDocumented(t *testing.T) {
	const hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	want := func(lines ...string) string {
		sum := sha256.Sum256([]byte("gatehouse-files-1\n" + strings.Join(lines, "\n") + "\n"))
		return hex.EncodeToString(sum[:])
	}
	folder := newFolder(t)
	if got := hashOf(t, folder); got != want(`D 700 "."`, `D 700 "lib"`, `F 600 `+nothing+` "lib/a b"`, `L `+hello+` "../p" "lib/link"`, `F 700 `+hello+` "p"`) {
		t.Errorf("the folder has %s", got)
	}
	got, err := place{file: filepath.Join(folder, "p")}.hash(t.Context())
	if err != nil || got != want(`F 700 `+hello+` "p"`) {
		t.Errorf("the program has %s (%v)", got, err)
	}
}

func TestHashSeesEveryChange(t *testing.T) {
	folder := newFolder(t)
	at := func(name string) string { return filepath.Join(folder, name) }
	steps := []struct {
		name   string
		change func() error
	}{
		{"contents", func() error { return os.WriteFile(at("p"), []byte("hallo\n"), 0o700) }},
		{"mode", func() error { return os.Chmod(at("p"), 0o500) }},
		{"name", func() error { return os.Rename(at("lib/a b"), at("lib/a c")) }},
		{"hidden file", func() error { return os.WriteFile(at(".hidden"), nil, 0o600) }},
		{"folder", func() error { return os.Mkdir(at("empty"), 0o700) }},
		{"mode of a folder", func() error { return os.Chmod(at("lib"), 0o750) }},
		{"link", func() error { return os.Symlink("p", at("other")) }},
		{"missing file", func() error { return os.Remove(at("lib/link")) }},
	}
	seen := map[string]string{hashOf(t, folder): "the beginning"}
	for _, step := range steps {
		must(t, step.change())
		sum := hashOf(t, folder)
		if before, ok := seen[sum]; ok {
			t.Errorf("%s: as at %s", step.name, before)
		}
		seen[sum] = step.name
	}
	must(t, os.Symlink(t.TempDir(), at("outside")))
	if _, err := (place{folder: folder}).hash(t.Context()); err == nil || !strings.Contains(err.Error(), "copy it instead") {
		t.Errorf("a link to a folder outside: %v", err)
	}
}

// lock writes the lock file of a host.
func (th *testHost) lock(t *testing.T, names ...string) []Locked {
	t.Helper()
	out, err := Lock(t.Context(), th.options, names)
	must(t, err)
	return out
}

// A plugin whose files changed is not started, and the message has both hashes
// and what to do; once they are accepted it is started.
func TestLockedPlugin(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "v=1.0.0")
	was := th.lock(t)[0].Hash
	v := th.mustStart(t).Validators[0].Validator
	if th.log.has("not pinned") {
		t.Error("a pinned plugin is warned of")
	}
	th.rewrite(t, "auth", "v=2.0.0")
	s := th.until(t, "auth", "is refused", func(s Status) bool { return s.SwapFailure != nil })
	is := hashOf(t, filepath.Join(th.dir, "auth"))
	for _, want := range []string{was, is, "broker plugin lock --plugin-dir " + th.dir + " auth"} {
		if !strings.Contains(s.SwapFailure.Error(), want) {
			t.Errorf("%q is not in %v", want, s.SwapFailure)
		}
	}
	if got := version(t, v); got != "1.0.0" || s.SwapFailure.Kind != KindRefused {
		t.Errorf("%s decides; %+v", got, s)
	}
	if l := th.lock(t, "auth"); len(l) != 1 || l[0].Old != was || l[0].Hash != is {
		t.Errorf("lock tells %+v", l)
	}
	th.until(t, "auth", "is replaced", func(s Status) bool { return s.Swaps == 1 })
	if got := version(t, v); got != "2.0.0" {
		t.Errorf("%s decides", got)
	}
}

// At the start too, and before anything of the plugin is run.
func TestLockedPluginAtTheStart(t *testing.T) {
	th := newTestHost(t, func(o *Options) { o.Plugins = []Config{{Name: "auth"}} })
	th.install(t, "auth")
	th.lock(t)
	th.rewrite(t, "auth", "v=2.0.0")
	_, err := th.Start(t.Context())
	var f *Failure
	if !errors.As(err, &f) || f.Kind != KindRefused || !strings.Contains(err.Error(), "if they are as they should be, accept them with") {
		t.Errorf("error is %v", err)
	}
}

// An attach.json that was left behind by whoever debugged a pinned plugin does not
// keep it from being started; one that leads to somebody does.
func TestLockedPluginWithAttachFile(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // a socket's path must be short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	byHand := serveAttached(t, dir)
	attachBeside := func(th *testHost) {
		text, _ := json.Marshal(pluginapi.Attach{Schema: 1, Address: "unix://" + byHand.socket})
		must(t, os.WriteFile(filepath.Join(th.dir, "auth", attachFile), text, 0o600))
	}
	th := newTestHost(t, nil)
	th.install(t, "auth")
	locked := th.lock(t)[0].Hash
	attachBeside(th)
	if _, err := th.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "not attached to a pinned plugin") {
		t.Errorf("error is %v", err)
	}

	byHand.kill()
	th = newTestHost(t, nil)
	th.install(t, "auth")
	attachBeside(th)
	if got := th.lock(t)[0].Hash; got != locked {
		t.Errorf("the hash is %s, and was %s without %s", got, locked, attachFile)
	}
	th.mustStart(t)
	if s := th.status(t, "auth"); s.State != Ready || s.PID == 0 {
		t.Errorf("status is %+v", s)
	}
}

func TestPluginsWithoutAnEntry(t *testing.T) {
	// No lock file at all: one word about it.
	th := newTestHost(t, nil)
	th.install(t, "auth")
	th.install(t, "door")
	th.mustStart(t)
	if n := strings.Count(th.log.String(), "not pinned"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	// A lock file without the plugin: one word about each.
	th = newTestHost(t, nil)
	th.install(t, "auth")
	th.lock(t)
	th.install(t, "door")
	th.mustStart(t)
	must(t, th.Reload(t.Context(), "door"))
	if n := strings.Count(th.log.String(), "plugin is not pinned"); n != 1 || !th.log.has("plugin is not pinned", `"plugin":"door"`) {
		t.Errorf("%d warnings", n)
	}
	// Demanded: refused.
	th = newTestHost(t, func(o *Options) { o.Locked, o.Plugins = true, []Config{{Name: "door", Required: new(bool)}} })
	th.install(t, "auth")
	th.lock(t, "auth")
	th.install(t, "door")
	th.mustStart(t)
	s := th.status(t, "door")
	if s.State != Failed || !strings.Contains(s.Health, "it has no entry in") || th.status(t, "auth").State != Ready {
		t.Errorf("status is %+v", s)
	}
	th.lock(t)
	th.until(t, "door", "is ready", func(s Status) bool { return s.State == Ready })
}

func TestLock(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth")
	th.install(t, "door")
	first := th.lock(t)
	if len(first) != 2 || first[0].Name != "auth" || first[0].Old != "" || len(first[1].Hash) != 64 {
		t.Errorf("first %+v", first)
	}
	must(t, os.RemoveAll(filepath.Join(th.dir, "auth")))
	second := th.lock(t)
	if len(second) != 2 || second[0] != (Locked{Name: "door", Hash: first[1].Hash, Old: first[1].Hash}) ||
		second[1] != (Locked{Name: "auth", Old: first[0].Hash}) {
		t.Errorf("second %+v", second)
	}
	text, err := os.ReadFile(filepath.Join(th.dir, LockFileName))
	must(t, err)
	if string(text) != lockHeader+"\ndoor sha256:"+first[1].Hash+"\n" {
		t.Errorf("the file is %s", text)
	}
	if _, err := Lock(t.Context(), th.options, []string{"nobody"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("error is %v", err)
	}
	for _, bad := range []string{"door", "door sha256:xyz", "door sha256:" + first[1].Hash + "\ndoor sha256:" + first[1].Hash, "DOOR sha256:" + first[1].Hash} {
		must(t, os.WriteFile(filepath.Join(th.dir, LockFileName), []byte("#\n"+bad+"\n"), 0o600))
		if _, err := Lock(t.Context(), th.options, nil); err == nil || !strings.Contains(err.Error(), LockFileName+":") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
