package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/validator"
)

func TestMain(m *testing.M) {
	plugintest.RunMain(m, map[string]pluginapi.Plugin{"authfile": validator.Plugin()})
}

const limits = "client_id_prefix: 'anna-'\n    mountpoint: t/a/\n    limits: {keep_alive: 1m, max_qos: 1, messages_per_second: 2.5}\n" +
	"    quota: {of: deliver, bytes_per_day: 1KiB}\n    allow: {both: [a/%c, {filter: b/#, max_qos: 0}]}\n    deny: {publish: {filter: a/#, retain: true}}\n"

func usersFile(t *testing.T, secret, rules string) string {
	t.Helper()
	hash, err := password.Hash([]byte(secret), password.Params{Memory: 32, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return "users:\n  - name: anna\n    password: " + hash + "\n    " + rules
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func config(t *testing.T, path string) plugintest.Option {
	t.Helper()
	b, err := json.Marshal(map[string]any{"file": path})
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Config(string(b))
}

// TestOverGRPC checks that what the file says gets to the broker as it is.
func TestOverGRPC(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, usersFile(t, "secret", limits))
	p := plugintest.Start(t, validator.Plugin(), config(t, path))
	d, err := p.ValidateConnection(t.Context(), plugintest.Connect("anna-1", plugintest.Credentials("anna", "secret")))
	if err != nil {
		t.Fatal(err)
	}
	if d.Word != pluginapi.Allow || d.Mountpoint != "t/a/" || len(d.Grants) != 3 {
		t.Fatalf("decision is %+v", d)
	}
	if l := d.Limits; *l.KeepAlive != 60 || *l.MaximumQoS != 1 || *l.MessagesPerSecond != 2.5 || l.QueueBytes != nil {
		t.Errorf("limits are %+v", l)
	}
	if g := d.Grants[2]; !g.Deny || g.Actions != pluginapi.Publish || g.Filter != "a/#" || g.Retain == nil || !*g.Retain {
		t.Errorf("third grant is %+v", g)
	}
	if q := d.Quota; q == nil || q.Account != "anna" || q.TimeZone != "Local" || q.Of != pluginapi.Receive || *q.BytesPerDay != 1024 {
		t.Errorf("quota is %+v", d.Quota)
	}
	for secret, want := range map[string]pluginapi.ReasonCode{"wrong": pluginapi.BadUserNameOrPassword, "": pluginapi.BadUserNameOrPassword} {
		d, err := p.ValidateConnection(t.Context(), plugintest.Connect("anna-1", plugintest.Credentials("anna", secret)))
		if err != nil || d.Word != pluginapi.Deny || d.Code != want {
			t.Errorf("with password %q: %+v, %v", secret, d, err)
		}
	}
}

// TestNothingAllowedIsNotEverything checks that a user without rules does not
// become one without limits on the way.
func TestNothingAllowedIsNotEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, usersFile(t, "secret", ""))
	p := plugintest.Start(t, validator.Plugin(), config(t, path))
	d, err := p.ValidateConnection(t.Context(), plugintest.Connect("x", plugintest.Credentials("anna", "secret")))
	if err != nil || d.Word != pluginapi.Allow || d.Grants == nil || len(d.Grants) != 0 {
		t.Errorf("decision is %+v, %v", d, err)
	}
}

// TestProcess runs the plugin as a program and changes its file.
func TestProcess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users.yaml")
	write(t, path, usersFile(t, "secret", "allow: {both: a}\n"))
	p := plugintest.Launch(t, plugintest.Install(t, filepath.Join(dir, "plugins"), "authfile"), config(t, path))
	word := func(secret string) pluginapi.Word {
		d, err := p.ValidateConnection(t.Context(), plugintest.Connect("x", plugintest.Credentials("anna", secret)))
		if err != nil {
			t.Fatal(err)
		}
		return d.Word
	}
	if word("secret") != pluginapi.Allow || word("other") != pluginapi.Deny {
		t.Fatal("anna may not log in, or with another password")
	}
	write(t, path+".new", usersFile(t, "other", "allow: {both: a}\n"))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); word("other") != pluginapi.Allow; {
		if time.Now().After(deadline) {
			t.Fatal("the changed file is not in use")
		}
		time.Sleep(10 * time.Millisecond) // the file is in another process
	}
	if word("secret") != pluginapi.Deny {
		t.Error("the old password still holds")
	}
}

// TestConformance runs the program against everything that a validator has to do.
func TestConformance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, usersFile(t, "secret phrase", limits))
	plugintest.Check(t, plugintest.Install(t, t.TempDir(), "authfile"), config(t, path), plugintest.KnownUser("anna-1", "anna", "secret phrase"))
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	for _, tc := range []struct {
		file   string
		status int
		says   string
	}{
		{usersFile(t, "x", "allow: {both: a}\n"), 0, path + ": 1 users, all good\n"},
		{usersFile(t, "x", ""), 0, path + ":2:11: warning: user \"anna\" can connect, but"},
		{"users: []", 1, path + ":1:1: has neither users"},
		{"users:\n\t- x", 1, path + ":2:1: is not valid YAML: a tab"},
	} {
		write(t, path, tc.file)
		var out strings.Builder
		if got := check(path, &out); got != tc.status || !strings.HasPrefix(out.String(), tc.says) {
			t.Errorf("exit status %d, want %d; output:\n%s", got, tc.status, &out)
		}
	}
	var out strings.Builder
	if got := check(path+".none", &out); got != 1 || !strings.Contains(out.String(), path+".none") {
		t.Errorf("for a file that is not there: exit status %d, %s", got, &out)
	}
}

var fence = regexp.MustCompile("(?ms)^```yaml (\\S+)\n(.*?)^```$")

// TestReadme uses every example of README.md.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var configs, files []string
	for _, m := range fence.FindAllStringSubmatch(string(readme), -1) {
		switch m[1] {
		case "gatehouse.yaml":
			configs = append(configs, m[2])
		case "users.yaml":
			files = append(files, m[2])
		default:
			t.Errorf("an example is called %s", m[1])
		}
	}
	if len(configs) < 2 || len(files) < 3 {
		t.Fatalf("found %d configurations and %d users files", len(configs), len(files))
	}
	for _, file := range files {
		set, err := users.Parse("users.yaml", []byte(file))
		if err != nil {
			t.Errorf("%v in\n%s", err, file)
			continue
		}
		if w := set.Warnings(); len(w) > 0 {
			t.Errorf("%v in\n%s", w, file)
		}
		for _, m := range regexp.MustCompile("- name: (.*)").FindAllStringSubmatch(file, -1) {
			if u := set.User(m[1]); u.HasPassword && !u.Password.Verify([]byte("secret")) {
				t.Errorf("the password of %s is not as it is said", m[1])
			}
		}
	}
	t.Chdir(t.TempDir())
	write(t, "users.yaml", files[0])
	for _, c := range configs {
		checkExample(t, strings.ReplaceAll(c, "/etc/gatehouse/", ""))
	}
	for _, section := range []string{"Name", "Description", "Configuration", "Examples", "Reason codes", "Reload", "Passwords"} {
		if !strings.Contains(string(readme), "\n## "+section+"\n") {
			t.Errorf("README.md has no section %s", section)
		}
	}
}

// checkExample checks the plugin's part of a broker configuration.
func checkExample(t *testing.T, file string) {
	t.Helper()
	var c struct {
		Plugins map[string]struct {
			Config map[string]any `yaml:"config"`
		} `yaml:"plugins"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(file), &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	p, ok := c.Plugins["authfile"]
	if len(c.Plugins) != 1 || !ok {
		t.Fatalf("the example configures %+v", c.Plugins)
	}
	b, err := json.Marshal(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := validator.Plugin().Check(t.Context(), pluginapi.NewSetup(b)); err != nil {
		t.Errorf("%v in\n%s", err, file)
	}
}

// TestReadmeCheckOutput checks that the text which README.md shows for a broken
// file is the text that is printed for it.
func TestReadmeCheckOutput(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	file := "users:\n  - name: a\n    # comment\n    pasword: secret\n  - name: b\n    password: " +
		"$2y$10$msxrT.F3UDgGnOih.Mcee.HdaymUyfDvI93gVIAL7REIBjdW.Ry6y\n    roles: []\n    allow:\n      publish: sensors/#/raw\n"
	_, err = users.Parse("users.yaml", []byte(file))
	if err == nil || !strings.Contains(string(readme), err.Error()+"\n") {
		t.Errorf("README.md does not show\n%v", err)
	}
}

// TestManifest checks what the broker is told before the plugin runs.
func TestManifest(t *testing.T) {
	p := validator.Plugin()
	if _, ok := p.Hooks.(pluginapi.Validator); !ok || p.Name != "authfile" || p.Exclusive || !p.Idempotent {
		t.Errorf("the plugin is %+v", p)
	}
}
