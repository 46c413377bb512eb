package users_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
)

const hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$QU1hZGVVcEhhc2hPZlNpeHRlZW4"

func load(t *testing.T, name string) *users.Set {
	t.Helper()
	set, err := users.Load(filepath.Join("testdata", "good", name))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// parse parses a file that has to be good.
func parse(t *testing.T, file string) *users.Set {
	t.Helper()
	set, err := users.Parse("users.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestFullFile(t *testing.T) {
	set := load(t, "full.yaml")
	if set.Len() != 4 || set.User("nobody") != nil || set.User("") != nil {
		t.Fatalf("%d users", set.Len())
	}
	alice := set.User("alice")
	if alice.Name != "alice" || alice.Disabled || alice.Mountpoint != "tenants/a/" || alice.Password.String() != "argon2id m=64 t=1 p=1" {
		t.Errorf("alice is %+v", alice)
	}
	both, read := pluginapi.AllActions, pluginapi.Subscribe|pluginapi.Receive
	want := []pluginapi.Grant{
		{Actions: both, Filter: "chat/+"},
		{Actions: both, Filter: "inbox/%u"},
		{Actions: pluginapi.Publish, Filter: "chat/announcements", Retain: new(true), Deny: true},
		{Actions: read, Filter: "#"},
		{Actions: read, Filter: "private/#", Deny: true},
		{Actions: read, Filter: "$SYS/#", Deny: true},
	}
	if diff := cmp.Diff(want, alice.Grants); diff != "" {
		t.Errorf("grants of alice (-want +got)\n%s", diff)
	}
	limits := pluginapi.Limits{
		KeepAlive:         new(uint16(90)),
		SessionExpiry:     new(uint32(7 * 24 * 3600)),
		ReceiveMaximum:    new(uint16(20)),
		MaximumPacketSize: new(uint32(64 << 10)),
		MaximumQoS:        new(pluginapi.QoS(1)),
		TopicAliasMaximum: new(uint16(0)),
		QueueMessages:     new(uint32(100)),
		QueueBytes:        new(uint64(1 << 20)),
		MessagesPerSecond: new(2.5),
		BytesPerSecond:    new(10e3),
		Subscriptions:     new(uint32(0)),
	}
	if diff := cmp.Diff(limits, alice.Limits); diff != "" {
		t.Errorf("limits of alice (-want +got)\n%s", diff)
	}
	quota := &pluginapi.Quota{
		Account: "alice", Of: pluginapi.Publish, BytesPerDay: new(uint64(10 << 20)), BytesPerMonth: new(uint64(1e9)),
		MessagesPerDay: new(uint64(100)), MessagesPerMonth: new(uint64(2000)),
	}
	if diff := cmp.Diff(quota, alice.Quota); diff != "" {
		t.Errorf("quota of alice (-want +got)\n%s", diff)
	}
	for name, want := range map[string]pluginapi.Durability{
		"alice": pluginapi.DurabilitySync, "007": pluginapi.DurabilityUnstated, "sensor-1": pluginapi.DurabilityInterval,
		"Ünïcode/1": pluginapi.DurabilityInterval, // the strictest of its roles
	} {
		if got := set.User(name).Durability; got != want {
			t.Errorf("durability of %s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"sensor-1", "Ünïcode/1"} {
		want := &pluginapi.Quota{Account: name, Of: pluginapi.Publish, MessagesPerDay: new(uint64(7))}
		if diff := cmp.Diff(want, set.User(name).Quota); diff != "" {
			t.Errorf("quota of %s (-want +got)\n%s", name, diff)
		}
	}
	if u := set.User("007"); u == nil || !u.Disabled || u.Grants == nil {
		t.Errorf("007 is %+v", u)
	}
	sensor := []pluginapi.Grant{
		{Actions: pluginapi.Publish, Filter: "devices/%c/#"},
		{Actions: pluginapi.Publish, Filter: "status/%c", MaxQoS: new(pluginapi.QoS(1)), Retain: new(true)},
		{Actions: read, Filter: "commands/%c/+"},
	}
	if diff := cmp.Diff(sensor, set.User("sensor-1").Grants); diff != "" {
		t.Errorf("grants of sensor-1 (-want +got)\n%s", diff)
	}
	if u := set.User("Ünïcode/1"); u == nil || len(u.Grants) != 1+len(sensor)+3 {
		t.Errorf("Ünïcode/1 is %+v", u)
	}
	if u := set.Anonymous(); u == nil || u.Name != "" || len(u.Grants) != 1 {
		t.Errorf("the anonymous user is %+v", u)
	}
	if w := set.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %v", w)
	}
}

func TestAnonymousAlone(t *testing.T) {
	set := load(t, "anonymous.yaml")
	if u := set.Anonymous(); u == nil || u.Grants == nil || len(u.Grants) != 0 {
		t.Errorf("the anonymous user is %+v", u)
	}
	if got := set.Decoy("x").String(); got != "argon2id m=19456 t=2 p=1" {
		t.Errorf("unknown users are checked against %s", got)
	}
	want := "the anonymous user can connect, but may neither publish nor subscribe: no rule allows it"
	if w := set.Warnings(); len(w) != 1 || w[0].Message != want || w[0].Line != 1 {
		t.Errorf("warnings: %v", w)
	}
}

func TestCheckClientID(t *testing.T) {
	for _, tc := range []struct {
		name, rules string
		ids         map[string]bool
	}{
		{"no rules", "", map[string]bool{"": true, "x": true, "a/b": true, "a+#": true}},
		{"exact", "client_id: dev", map[string]bool{"": false, "dev": true, "dev1": false, "Dev": false, "de": false}},
		{"several", "client_id: [a, b]", map[string]bool{"a": true, "b": true, "ab": false}},
		{"prefix", "client_id_prefix: dev-", map[string]bool{"": false, "dev-": true, "dev-1": true, "dev": false, "xdev-": false}},
		{"either", "client_id: x\n    client_id_prefix: [dev-, y]", map[string]bool{"x": true, "dev-1": true, "yes": true, "no": false}},
		{"user name", "client_id: '%u'\n    client_id_prefix: 'x-%u-'", map[string]bool{"alice": true, "x-alice-1": true, "%u": false, "bob": false}},
		{"allow with %c", "allow: {both: 'a/%c'}", map[string]bool{"a/b": true, "": true}},
		{"deny with %c", "deny: {publish: 'a/%c'}", map[string]bool{"a/b": false, "+": false, "#": false, "a": true, "": true}},
		{"deny with %c in a role", "roles: own", map[string]bool{"a/b": false, "a": true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := parse(t, "roles: {own: {deny: {publish: 'a/%c'}}}\nusers:\n  - name: alice\n    password: "+hash+"\n    "+tc.rules+"\n")
			for id, want := range tc.ids {
				if err := set.User("alice").CheckClientID(id); (err == nil) != want {
					t.Errorf("client id %q: %v", id, err)
				}
			}
		})
	}
}

// TestDecoy checks that unknown users cost what the users of the file cost, in
// the same proportions, and the same every time.
func TestDecoy(t *testing.T) {
	var file strings.Builder
	file.WriteString("users:\n")
	for i := range 300 {
		cost := "m=64,t=1,p=1"
		if i%3 == 0 {
			cost = "m=128,t=1,p=1"
		}
		fmt.Fprintf(&file, "  - name: u%d\n    password: %s\n", i, strings.Replace(hash, "m=64,t=1,p=1", cost, 1))
	}
	set := parse(t, file.String())
	expensive := 0
	for i := range 3000 {
		name := fmt.Sprintf("unknown-%d", i)
		d := set.Decoy(name)
		if d != set.Decoy(name) {
			t.Fatalf("%s has two decoys", name)
		}
		if d.Memory() == 128<<10 {
			expensive++
		}
	}
	if expensive < 700 || expensive > 1300 {
		t.Errorf("%d of 3000 unknown users cost what a third of the users does", expensive)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := users.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	var broken *users.Error
	if _, err := users.Load(dir); !errors.As(err, &broken) || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v", err)
	}
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, users.MaxSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := users.Load(large); !errors.As(err, &broken) || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("a large file: %v", err)
	}
}

func TestLoadWarnsOfOpenFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // permission bits say nothing there
	}
	path := filepath.Join(t.TempDir(), "users.yaml")
	file := "users:\n  - name: a\n    password: " + hash + "\n    allow: {both: x}\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		mode fs.FileMode
		want int
	}{{0o600, 0}, {0o644, 0}, {0o664, 0}, {0o666, 1}, {0o602, 1}} {
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		set, err := users.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Warnings(); len(got) != tc.want || tc.want == 1 && got[0].Place() != path {
			t.Errorf("mode %o: %v", tc.mode, got)
		}
	}
}

func TestByteOrderMark(t *testing.T) {
	if set := parse(t, "\xef\xbb\xbfusers:\r\n  - name: a\r\n    password: "+hash+"\r\n"); set.User("a") == nil {
		t.Error("no user a")
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/broken/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := users.Parse("users.yaml", data)
		if err != nil {
			var broken *users.Error
			if set != nil || !errors.As(err, &broken) || len(broken.Problems) == 0 {
				t.Fatalf("error is %T: %v", err, err)
			}
			checkProblems(t, broken, data)
			return
		}
		if set.Len() == 0 && set.Anonymous() == nil {
			t.Fatal("nobody may log in, and the file is good")
		}
		if d := set.Decoy("x"); d.Scheme() == "" {
			t.Fatal("no decoy")
		}
		if u := set.Anonymous(); u != nil && (u.Grants == nil || u.CheckClientID("x") == nil && u.Name != "") {
			t.Fatalf("the anonymous user is %+v", u)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		var file strings.Builder
		file.WriteString("roles: {device: {allow: {publish: devices/%c/#}}}\nusers:\n")
		for i := range n {
			fmt.Fprintf(&file, "  - name: user-%d\n    password: %s\n    client_id_prefix: dev-\n    roles: [device]\n", i, hash)
		}
		data := []byte(file.String())
		b.Run(fmt.Sprintf("users=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := users.Parse("users.yaml", data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
