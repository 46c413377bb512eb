//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/internal/chaos/ledger"
)

// spoilt is a folder with a store of three files, of whose log the disk has 40
// bytes of 100.
func spoilt(t *testing.T, durability string) *damage {
	t.Helper()
	dir := t.TempDir()
	d, err := newDamage(&options{durability: durability}, dir, rand.New(rand.NewPCG(1, 2))) //nolint:gosec // a test
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"data/sessions/000002.log":    strings.Repeat("l", 100),
		"data/sessions/000001.sst":    "table",
		"data/sessions/MANIFEST-0001": "manifest",
		"faults/synced/000002.log":    fmt.Sprintf("%020d", 40),
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func content(t *testing.T, d *damage) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	names, _ := filepath.Glob(filepath.Join(d.data, "sessions", "*"))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = b
	}
	return out
}

// What the disk has is never cut off, and nothing at all if that is not what is
// acknowledged; the rest sometimes is.
func TestTear(t *testing.T) {
	for durability, atLeast := range map[string]int{"sync": 40, "interval": 100} {
		shorter := false
		for range 50 {
			d := spoilt(t, durability)
			d.random = rand.New(rand.NewPCG(rand.Uint64(), 1)) //nolint:gosec // a test
			if err := d.tear(); err != nil {
				t.Fatal(err)
			}
			log := content(t, d)["000002.log"]
			if got := len(log) - len(bytes.TrimLeft(log, "l")); got < atLeast {
				t.Fatalf("%s: %d bytes are left", durability, got)
			} else if got < 100 {
				shorter = true
			}
		}
		if shorter != (durability == "sync") {
			t.Errorf("%s: something was cut off: %v", durability, shorter)
		}
	}
}

// One bit of one file is changed, and of each file sometimes.
func TestFlip(t *testing.T) {
	chosen := make(map[string]bool)
	for range 50 {
		d := spoilt(t, "sync")
		d.random = rand.New(rand.NewPCG(rand.Uint64(), 1)) //nolint:gosec // a test
		before := content(t, d)
		name, err := d.flip()
		if err != nil {
			t.Fatal(err)
		}
		chosen[name] = true
		changed := 0
		for file, b := range content(t, d) {
			for i := range b {
				n := bits.OnesCount8(b[i] ^ before[file][i])
				if changed += n; n > 0 && file != name {
					t.Errorf("%s was changed, and it says %s", file, name)
				}
			}
		}
		if changed != 1 || !d.suspect {
			t.Fatalf("%d bits were changed", changed)
		}
	}
	if len(chosen) != 3 {
		t.Errorf("only %v", chosen)
	}
}

// A store that is put aside is noticed once, and has to be in the log.
func TestAside(t *testing.T) {
	d := spoilt(t, "sync")
	if gone, err := d.aside(); gone || err != nil {
		t.Fatal(gone, err)
	}
	if err := os.Mkdir(filepath.Join(d.data, "sessions.corrupt-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if gone, err := d.aside(); !gone || err == nil {
		t.Errorf("%v, %v: nobody said so", gone, err)
	}
	if err := os.Mkdir(filepath.Join(d.data, "sessions.corrupt-2"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.log, []byte(strings.Repeat("msg=\"the store of sessions is corrupt: it is put aside\"\n", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	if gone, err := d.aside(); !gone || err != nil {
		t.Errorf("%v, %v: the log has it", gone, err)
	}
	if gone, err := d.aside(); gone || err != nil {
		t.Errorf("%v, %v: again", gone, err)
	}
}

// A changed payload is never taken for another message.
func TestParse(t *testing.T) {
	whole := payload("p1", 123)
	if name, number, ok := parse(whole); name != "p1" || number != 123 || !ok {
		t.Errorf("%q is %s %d %v", whole, name, number, ok)
	}
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if _, _, ok := parse(b); ok {
				t.Errorf("%q passes for a message", b)
			}
		}
	}
}

// Each fault comes within one deck.
func TestDeck(t *testing.T) {
	d := spoilt(t, "sync")
	seen := make(map[fault]bool)
	for range deck {
		seen[d.next()] = true
	}
	for f := unharmed; f <= slow; f++ {
		if !seen[f] {
			t.Errorf("no %v", f)
		}
	}
}

// What a broker holds more of than at first, or that it is not ready, is noticed
// when it is planted.
func TestLeaks(t *testing.T) {
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Wait() }()
	defer func() { _ = sleeper.Process.Kill() }()
	ready := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" && !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = fmt.Fprintln(w, "go_goroutines 1000")
	}))
	defer server.Close()
	r := &run{
		options: new(options), book: ledger.New(), goroutines: 990, warm: 100 << 20,
		broker: &process{cmd: sleeper, metrics: server.URL},
	}
	r.descriptors = r.broker.descriptors()
	check := func(what string, memory int, wrong bool) {
		t.Helper()
		if err := r.checkLeaks(t.Context(), memory); (err != nil) != wrong {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("all is well", 100<<20, false)
	check("memory", 300<<20, true)
	r.goroutines = 900
	check("goroutines", 0, true)
	r.goroutines, r.descriptors = 1000, -20
	check("descriptors", 0, true)
	r.descriptors, ready = 0, false
	check("not ready", 0, true)
}
