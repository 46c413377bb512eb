package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	paho5 "github.com/eclipse/paho.golang/paho"
	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket/buckettest"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// TestChooseRetained holds which store is used after a move from "old" to "new",
// for what the configuration may say.
func TestChooseRetained(t *testing.T) {
	t.Run("from memory", func(t *testing.T) {
		for configured, want := range map[string]string{"": "new", "new": "new", "memory": "new"} {
			dir := t.TempDir()
			if err := newStoreRecord("memory", "new", 7).write(storeRecordPath(dir)); err != nil {
				t.Fatal(err)
			}
			s := &server{cfg: &config{DataDir: dir, Retained: retainedConfig{Store: configured}}, log: slog.New(slog.DiscardHandler)}
			if err := s.chooseRetained(); err != nil || s.kept.current() != want {
				t.Errorf("%q: uses %s, want %s, %v", configured, s.kept.current(), want, err)
			}
		}
	})
	for configured, want := range map[string]string{
		"":       "new",
		"new":    "new",
		"old":    "new", // and a warning
		"memory": "memory",
		"third":  "error: moved from old to new",
	} {
		t.Run(configured, func(t *testing.T) {
			dir := t.TempDir()
			if err := newStoreRecord("old", "new", 7).write(storeRecordPath(dir)); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s := &server{cfg: &config{DataDir: dir, Retained: retainedConfig{Store: configured}}, log: slog.New(slog.NewTextHandler(&log, nil))}
			err := s.chooseRetained()
			var got string
			if err != nil {
				got = "error: " + err.Error()
			} else {
				got = s.kept.current()
			}
			if text, wantsError := strings.CutPrefix(want, "error: "); wantsError && !strings.Contains(got, text) || !wantsError && got != want {
				t.Errorf("uses %s, want %s", got, want)
			}
			if warned := strings.Contains(log.String(), "change retained.store"); warned != (configured == "old") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func TestStoreRecord(t *testing.T) {
	path := storeRecordPath(t.TempDir())
	if r, err := readStoreRecord(path); err != nil || r != (storeRecord{}) {
		t.Errorf("without a file: %+v, %v", r, err)
	}
	for _, to := range []string{"b", "c"} {
		want := newStoreRecord("a", to, 42)
		if err := want.write(path); err != nil {
			t.Fatal(err)
		}
		if r, err := readStoreRecord(path); err != nil || r.Store != to || r.From != "a" || r.Revision != 42 || !r.Moved.Equal(want.Moved) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	for _, text := range []string{"", "{", "{}", `{"store":"a"}`, "[]"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readStoreRecord(path); err == nil || !strings.Contains(err.Error(), "remove it if retained.store") {
			t.Errorf("%q: %v", text, err)
		}
	}
	// A record that can't be written leaves the old one.
	missing := filepath.Join(t.TempDir(), "none", "record.json")
	if err := newStoreRecord("a", "b", 1).write(missing); err == nil {
		t.Error("a record was written into a folder that does not exist")
	}
}

// TestMigrateRefused holds that what can't be moved is told, and changes nothing.
func TestMigrateRefused(t *testing.T) {
	s := newMigrationSite(t)
	p := s.start()
	p.seed(10)
	for args, want := range map[string]string{
		"retainjson nothing":    "there is no plugin nothing",
		"retainjson retainjson": "are in retainjson already",
		"retainnats retainjson": "not in retainnats, but in retainjson",
	} {
		if status, out := p.migrate(strings.Fields(args)...); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d: %s", args, status, out)
		}
	}
	p.countSeeds("reader", 10)
	p.stop()
}

// TestMigrateByConfiguration moves to the store that a reloaded configuration
// names, and not again at the next reload.
func TestMigrateByConfiguration(t *testing.T) {
	s := newMigrationSite(t)
	p := s.start()
	want := p.seed(100)
	text := string(s.read("gatehouse.yaml"))
	s.write("gatehouse.yaml", strings.Replace(text, "{store: retainjson}", "{store: retainnats}", 1))
	p.signal(syscall.SIGHUP)
	p.waitLog("retained messages were moved")
	p.waitLog("configuration reloaded")
	if status, out := p.migrate("retainnats", "retainjson"); status != 0 || !strings.Contains(out, "retained: {store: retainjson}") {
		t.Errorf("status %d: %s", status, out)
	}
	p.signal(syscall.SIGHUP)
	s.write("gatehouse.yaml", text)
	p.signal(syscall.SIGHUP)
	p.wantRetained("reader", want)
	if strings.Contains(p.log(), "take effect at the next start") || strings.Count(p.log(), "retained messages were moved") != 2 {
		t.Error("a reload did too little, or too much")
	}
	p.kill()
	p = s.start()
	p.wantRetained("second", want)
	p.stop()
}

// TestTooLargeForNATS publishes what the NATS server would not take: it is
// refused with the reason, before it is acknowledged, and what was there stays.
func TestTooLargeForNATS(t *testing.T) {
	nats := buckettest.Start(t, func(o *natsserver.Options) { o.MaxPayload = 64 << 10 })
	s := newSite(t, "plugins: {retainnats: {config: {urls: ['"+nats.URL()+"']}}}\n", "retainnats")
	p := s.start()
	c := p.connect5("publisher")
	publish := func(size int) *paho5.PublishResponse {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		res, err := c.Publish(ctx, &paho5.Publish{Topic: "t", QoS: 1, Retain: true, Payload: bytes.Repeat([]byte("x"), size)})
		if res == nil {
			t.Fatalf("no answer: %v", err)
		}
		return res
	}
	if res := publish(1000); res.ReasonCode > 0x10 {
		t.Fatalf("a small message: %+v", res)
	}
	res := publish(64 << 10)
	if res.ReasonCode != 0x97 || res.Properties == nil || !strings.Contains(res.Properties.ReasonString, "larger than its store takes") {
		t.Errorf("a large message: %+v %+v", res, res.Properties)
	}
	if m := p.retained("reader", 1); len(m["t"]) != 1000 {
		t.Errorf("%d bytes are retained", len(m["t"]))
	}
	p.stop()
}

// TestNATSGoesAndComes publishes while the NATS server is away: the publisher is
// acknowledged once it is back, or never, and what was acknowledged is there
// after the broker was killed.
func TestNATSGoesAndComes(t *testing.T) {
	nats := buckettest.Start(t)
	s := newSite(t, "plugins: {retainnats: {config: {urls: ['"+nats.URL()+"'], timeout: 1s}}}\n", "retainnats")
	p := s.start()
	p.seed(10)
	nats.Stop()
	c := p.connect3("publisher")
	away := c.Publish("away", 1, true, "1")
	p.waitPlugin("retainnats", "degraded", func(a *adminv1.Plugin) bool { return strings.Contains(a.GetHealth(), "no connection to NATS") })
	nats.Again()
	acked := away.WaitTimeout(patience) && away.Error() == nil && c.IsConnectionOpen()
	t.Logf("acknowledged: %v", acked)
	if !acked {
		again := p.connect3("publisher")
		if tk := again.Publish("away", 1, true, "1"); !tk.WaitTimeout(patience) || tk.Error() != nil {
			t.Fatal(tk.Error())
		}
	}
	p.waitPlugin("retainnats", "well", func(a *adminv1.Plugin) bool { return a.GetHealth() == "" })
	p.kill()
	p = s.start()
	if m := p.retained("reader", 11); m["away"] != "1" {
		t.Errorf("retained: %v", m)
	}
	p.stop()
}

// TestMigrateMemory gives messages that were in memory only a store, and takes
// it away again.
func TestMigrateMemory(t *testing.T) {
	s := newSite(t, "retained: {store: memory}\nplugins:\n  retainjson: {config: {fsync: never}}\n", "retainjson")
	p := s.start()
	want := p.seed(100)
	if status, out := p.migrate("memory", "retainjson"); status != 0 || !strings.Contains(out, "100 retained messages moved from memory to retainjson") ||
		!strings.Contains(out, "retained: {store: retainjson}") {
		t.Errorf("status %d: %s", status, out)
	}
	p.kill()
	p = s.start() // with a configuration that still says memory
	p.waitLog("change retained.store")
	p.wantRetained("reader", want)
	if status, out := p.migrate("retainjson", "memory"); status != 0 || strings.Contains(out, "write this into the configuration") {
		t.Errorf("status %d: %s", status, out)
	}
	want["seed/0"] = "later"
	p.connect5("pub").publish("seed/0", 1, true, "later")
	p.wantRetained("second", want)
	if err := p.disable("retainjson"); err != nil {
		t.Errorf("the store that is not in use: %v", err)
	}
	p.kill()
	p = s.start()
	p.wantRetained("third", map[string]string{})
	p.connect5("pub").publish("fresh", 1, true, "x")
	broker := func(args ...string) (int, string) {
		var out strings.Builder
		return run(append(args, "--run-dir", p.path("run")), strings.NewReader(""), &out, &out), out.String()
	}
	if status, out := broker("plugin", "enable", "retainjson"); status != 0 {
		t.Errorf("enable: %s", out)
	}
	if status, out := p.migrate("memory", "retainjson"); status != 1 || !strings.Contains(out, "move with --replace") {
		t.Errorf("status %d: %s", status, out)
	}
	if status, out := p.migrate("memory", "retainjson", "--replace"); status != 0 {
		t.Errorf("status %d: %s", status, out)
	}
	p.wantRetained("fourth", map[string]string{"fresh": "x"})
	p.stop()
}

// disable takes a plugin out.
func (p *proc) disable(name string) error {
	p.t.Helper()
	f := adminFlags{RunDir: p.path("run")}
	client, err := f.client()
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	_, err = client.DisablePlugin(ctx, connect.NewRequest(&adminv1.DisablePluginRequest{Name: name}))
	return err
}

// TestReloadMovesFirst reads a configuration that names another store and has
// the old one no more: the messages are moved before that goes.
func TestReloadMovesFirst(t *testing.T) {
	const without = "listeners: [{url: 'tcp://127.0.0.1:0'}]\ndata_dir: data\nrun_dir: run\n"
	s := newSite(t, "")
	s.link("old/retainjson")
	s.link("new/retainjson")
	entry := func(store string) string {
		return without + "retained: {store: " + store + "}\nplugins:\n  " + store + ": {path: " + store + "/retainjson, config: {fsync: never}}\n"
	}
	s.write("gatehouse.yaml", entry("old"))
	p := s.start()
	want := p.seed(100)
	for i, text := range []string{entry("new"), without + "retained: {store: memory}\n", entry("old")} {
		s.write("gatehouse.yaml", text)
		p.signal(syscall.SIGHUP)
		for end := time.Now().Add(patience); strings.Count(p.log(), "msg=\"configuration reloaded\"") <= i; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("configuration %d is not in force:\n%s", i, p.log())
			}
		}
		if n := strings.Count(p.log(), "retained messages were moved"); n != i+1 {
			t.Errorf("%d moves after configuration %d", n, i)
		}
		p.wantRetained("reader", want)
	}
	if list := p.pluginNames(); list != "old" {
		t.Errorf("plugins: %s", list)
	}
	p.stop()
}

// pluginNames are the plugins of the broker.
func (p *proc) pluginNames() string {
	p.t.Helper()
	f := adminFlags{RunDir: p.path("run")}
	client, err := f.client()
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := client.ListPlugins(p.t.Context(), connect.NewRequest(&adminv1.ListPluginsRequest{}))
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for _, plugin := range res.Msg.GetPlugins() {
		names = append(names, plugin.GetName())
	}
	return strings.Join(names, " ")
}
