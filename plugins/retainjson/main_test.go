package main

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainjson/logfile"
)

func TestMain(m *testing.M) {
	plugintest.RunMain(m, map[string]pluginapi.Plugin{"retainjson": logfile.Plugin()})
}

// TestStore is the conformance suite, over a connection.
func TestStore(t *testing.T) {
	for _, fsync := range []string{"always", "interval", "never"} {
		t.Run(fsync, func(t *testing.T) {
			plugintest.TestStore(t, func(t testing.TB, dir string) pluginapi.Store {
				return plugintest.Start(t, logfile.Plugin(), plugintest.DataDir(dir), plugintest.Config(`{"fsync":"`+fsync+`"}`))
			})
		})
	}
}

// TestConformance runs the program against everything that a store has to do.
func TestConformance(t *testing.T) {
	path := plugintest.Install(t, t.TempDir(), "retainjson")
	plugintest.Check(t, path, plugintest.Topics(1000))
	t.Run("without fsync", func(t *testing.T) { // which only a crash of the machine needs
		plugintest.Check(t, path, plugintest.Config(`{"fsync":"never"}`), plugintest.Only("store/kill", "store/stale", "store/own"))
	})
}

func TestManifest(t *testing.T) {
	m, err := plugintest.Start(t, logfile.Plugin()).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "retainjson" || !m.Exclusive || len(m.Services) != 1 || !strings.Contains(string(m.ConfigSchema), "compact_garbage") {
		t.Errorf("%+v", m)
	}
}

func put(topic, payload string, rev uint64) pluginapi.Change {
	return pluginapi.Change{Op: pluginapi.Put, Topic: topic, Revision: rev, Message: plugintest.Message(topic, payload)}
}

func load(t *testing.T, s pluginapi.Store) map[string]string {
	t.Helper()
	got := make(map[string]string)
	err := s.Load(t.Context(), func(r pluginapi.Record) error {
		got[r.Message.Topic] = fmt.Sprintf("%s@%d", r.Message.Payload, r.Revision)
		return nil
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return got
}

// TestKill kills the process again and again while changes are made and the
// file is compacted. What was acknowledged is there after every start; of the
// batch under way all or nothing.
func TestKill(t *testing.T) {
	bin := plugintest.Install(t, t.TempDir(), "retainjson")
	dir := t.TempDir()
	config := plugintest.Config(`{"compact_min_bytes":4096,"compact_garbage":0.05}`)
	r := rand.New(rand.NewPCG(1, 1))
	acked, next := make(map[string]string), make(map[string]string)
	rev := uint64(0)
	for round := range 20 {
		p := plugintest.Launch(t, bin, plugintest.DataDir(dir), config)
		got := load(t, p)
		if diff := cmp.Diff(acked, got); diff != "" && cmp.Diff(next, got) != "" {
			t.Fatalf("start %d (-want +got):\n%s", round, diff)
		}
		if err := p.Health(t.Context()); err != nil {
			t.Fatalf("start %d: %v", round, err)
		}
		acked, next = got, maps.Clone(got)
		kill := time.AfterFunc(time.Duration(r.IntN(60_000))*time.Microsecond, func() { _ = p.Signal(os.Kill) })
		for {
			batch := make([]pluginapi.Change, 1+r.IntN(20))
			for i := range batch {
				rev++
				topic, payload := fmt.Sprintf("t/%d", r.IntN(50)), strings.Repeat("x", r.IntN(300))
				batch[i] = put(topic, payload, rev)
				next[topic] = fmt.Sprintf("%s@%d", payload, rev)
			}
			if _, err := p.Apply(t.Context(), batch); err != nil {
				break
			}
			acked = maps.Clone(next)
		}
		kill.Stop()
		if _, err := p.Wait(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if rev == 0 {
		t.Fatal("no change was made")
	}
}

// TestOneWriter starts a second process on the same file.
func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	plugintest.Start(t, logfile.Plugin(), plugintest.DataDir(dir))
	bin := plugintest.Install(t, t.TempDir(), "retainjson")
	second := plugintest.Launch(t, bin, plugintest.DataDir(dir), plugintest.NoInit())
	if err := second.Init(t.Context(), `{}`); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("Init of a second process: %v", err)
	}
}

func TestBrokerDies(t *testing.T) {
	dir := t.TempDir()
	p := plugintest.Launch(t, plugintest.Install(t, t.TempDir(), "retainjson"), plugintest.DataDir(dir), plugintest.Config(`{"fsync":"never"}`))
	if _, err := p.Apply(t.Context(), []pluginapi.Change{put("a", "1", 1)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	got := load(t, plugintest.Start(t, logfile.Plugin(), plugintest.DataDir(dir)))
	if diff := cmp.Diff(map[string]string{"a": "1@1"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestDamage has the whole plugin meet a file with rubbish in its middle.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	p := plugintest.Start(t, logfile.Plugin(), plugintest.DataDir(dir))
	if _, err := p.Apply(t.Context(), []pluginapi.Change{put("a", "1", 1), put("b", "2", 2), put("c", "3", 3)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "retained.jsonl")
	spoil(t, file, `"topic":"b"`, `"topic":"B"`)
	p = plugintest.Start(t, logfile.Plugin(), plugintest.DataDir(dir))
	if diff := cmp.Diff(map[string]string{"a": "1@1", "c": "3@3"}, load(t, p)); diff != "" {
		t.Error(diff)
	}
	if err := p.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "1 lines") {
		t.Errorf("Health: %v", err)
	}
	if kept, err := filepath.Glob(file + ".corrupt-*"); err != nil || len(kept) != 1 {
		t.Errorf("set aside: %v, %v", kept, err)
	}
}

func spoil(t *testing.T, file, old, with string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %s, %v", file, old, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFileIsJSONLines reads the file as anybody would.
func TestFileIsJSONLines(t *testing.T) {
	dir := t.TempDir()
	p := plugintest.Start(t, logfile.Plugin(), plugintest.DataDir(dir), plugintest.Config(`{"file":"r.jsonl"}`))
	if _, err := p.Apply(t.Context(), []pluginapi.Change{put("a/ü", "21.5", 1), put("b", "\x00", 2)}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "r.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		got = append(got, lines.Text())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || !strings.Contains(got[1], `"topic":"a/ü","text":"21.5"`) || !strings.Contains(got[2], `"base64":"AA=="`) {
		t.Errorf("file:\n%s", strings.Join(got, "\n"))
	}
}
