package plugintest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
)

func TestMain(m *testing.M) {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "vicious" {
		plugintest.ViciousMain()
	}
	plugintest.Dispatch(map[string]pluginapi.Plugin{"keeper": keeperPlugin("")})
	goleak.VerifyTestMain(m)
}

// keeper is a store in one JSON file, written anew with every batch. flaw names
// what is wrong with it.
type keeper struct {
	path, flaw string

	mu    sync.Mutex
	state state
}

type state struct {
	Records    map[string]pluginapi.Record
	Tombstones map[string]uint64
	Cleared    uint64 // no change at or below it counts any more
	Revision   uint64
}

func openKeeper(dir, flaw string) (*keeper, error) {
	k := &keeper{path: filepath.Join(dir, "state.json"), flaw: flaw}
	k.state = state{Records: map[string]pluginapi.Record{}, Tombstones: map[string]uint64{}}
	content, err := os.ReadFile(k.path)
	if errors.Is(err, os.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	return k, json.Unmarshal(content, &k.state)
}

func (k *keeper) Load(_ context.Context, yield func(pluginapi.Record) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.state.Records {
		if err := yield(r); err != nil {
			if k.flaw == "loads on" {
				continue
			}
			return err
		}
	}
	return nil
}

func (k *keeper) Apply(_ context.Context, changes []pluginapi.Change) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range changes {
		k.change(c)
	}
	if k.flaw == "forgets" {
		return k.state.Revision, nil
	}
	content, err := json.Marshal(k.state)
	if err != nil {
		return 0, err
	}
	return k.state.Revision, os.WriteFile(k.path, content, 0o600)
}

func (k *keeper) change(c pluginapi.Change) {
	s := &k.state
	old := max(s.Cleared, s.Tombstones[c.Topic], s.Records[c.Topic].Revision)
	if c.Op == pluginapi.Clear {
		old = s.Cleared
	}
	if c.Revision <= old && k.flaw != "takes stale changes" {
		return
	}
	s.Revision = max(s.Revision, c.Revision)
	switch c.Op {
	case pluginapi.Put:
		m := *c.Message
		switch k.flaw {
		case "keeps text only":
			m.Payload = []byte(strings.ToValidUTF8(string(m.Payload), "?"))
		case "keeps no empty payload":
			if len(m.Payload) == 0 {
				return
			}
		case "hides $ topics":
			if strings.HasPrefix(m.Topic, "$") {
				return
			}
		case "loses properties":
			m.UserProperties = slices.Compact(m.UserProperties)
		}
		s.Records[c.Topic] = pluginapi.Record{Message: &m, Revision: c.Revision}
		delete(s.Tombstones, c.Topic)
	case pluginapi.Delete:
		delete(s.Records, c.Topic)
		if k.flaw != "has no tombstones" {
			s.Tombstones[c.Topic] = c.Revision
		}
	case pluginapi.Clear:
		for topic, r := range s.Records {
			if r.Revision < c.Revision {
				delete(s.Records, topic)
			}
		}
		s.Cleared = c.Revision
	}
}

func (k *keeper) Snapshot(_ context.Context, record func(pluginapi.Record) error, tombstone func(pluginapi.Tombstone) error) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.state.Records {
		if err := record(r); err != nil {
			return 0, err
		}
	}
	for topic, revision := range k.state.Tombstones {
		if err := tombstone(pluginapi.Tombstone{Topic: topic, Revision: revision}); err != nil {
			return 0, err
		}
	}
	return k.state.Revision, nil
}

func (k *keeper) Stats(context.Context) (pluginapi.Stats, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return pluginapi.Stats{
		Messages: uint64(len(k.state.Records)), Revision: k.state.Revision, Details: map[string]string{"path": k.path},
	}, nil
}

func keeperPlugin(flaw string) pluginapi.Plugin {
	return pluginapi.Plugin{
		Name:      "keeper",
		Hooks:     (*keeper)(nil),
		Exclusive: true,
		New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
			return openKeeper(s.DataDir, flaw)
		},
	}
}

func TestStoreItself(t *testing.T) {
	plugintest.TestStore(t, func(t testing.TB, dir string) pluginapi.Store {
		k, err := openKeeper(dir, os.Getenv("FLAW"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	})
}

func TestStoreInProcess(t *testing.T) {
	plugintest.TestStore(t, func(t testing.TB, dir string) pluginapi.Store {
		return plugintest.Start(t, keeperPlugin(""), plugintest.DataDir(dir))
	})
}

func TestStoreAsProgram(t *testing.T) {
	program := plugintest.Install(t, t.TempDir(), "keeper")
	plugintest.TestStore(t, func(t testing.TB, dir string) pluginapi.Store {
		return plugintest.Launch(t, program, plugintest.DataDir(dir), plugintest.Env("GORACE=atexit_sleep_ms=0"))
	})
}

// justStore has none of the companions.
type justStore struct{ store *keeper }

func (j *justStore) Load(ctx context.Context, yield func(pluginapi.Record) error) error {
	return j.store.Load(ctx, yield)
}

func (j *justStore) Apply(ctx context.Context, changes []pluginapi.Change) (uint64, error) {
	return j.store.Apply(ctx, changes)
}

func TestStoreWithoutCompanions(t *testing.T) {
	p := pluginapi.Plugin{Name: "just", Hooks: (*justStore)(nil), New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
		k, err := openKeeper(s.DataDir, "")
		return &justStore{k}, err
	}}
	plugintest.TestStore(t, func(t testing.TB, dir string) pluginapi.Store {
		return plugintest.Start(t, p, plugintest.DataDir(dir))
	})
}

// TestFlawsAreFound runs the suite on stores with one flaw each, in a process of
// its own, and wants it to fail where the flaw is.
func TestFlawsAreFound(t *testing.T) {
	if os.Getenv("FLAW") != "" {
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for flaw, finds := range map[string][]string{
		"forgets":                {"fields", "stats"},
		"loads on":               {"load_stops"},
		"takes stale changes":    {"stale_revisions", "tombstones"},
		"keeps text only":        {"payloads"},
		"keeps no empty payload": {"payloads"},
		"hides $ topics":         {"topics"},
		"loses properties":       {"fields"},
		"has no tombstones":      {"tombstones", "snapshot"},
	} {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(self, "-test.run=^TestStoreItself$/^("+strings.Join(finds, "|")+")$")
			cmd.Env = append(os.Environ(), "FLAW="+flaw, "GORACE=atexit_sleep_ms=0")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passes")
			}
			for _, name := range finds {
				if !strings.Contains(string(out), fmt.Sprintf("--- FAIL: TestStoreItself/%s ", name)) {
					t.Errorf("case %q passes:\n%s", name, out)
				}
			}
		})
	}
}
