package store

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// The power is cut after a message was acknowledged: the session that it was
// queued for says whether the disk has it, whatever holds for others, and a
// session that is resumed with another durability goes by that from then on.
func TestDurabilityPowerCut(t *testing.T) {
	const s, i, n = session.DurabilitySync, session.DurabilityInterval, session.DurabilityNone
	for _, tt := range []struct {
		name        string
		first, then session.Durability
		survive     int // of two messages, one before and one after
	}{
		{"sync", s, s, 2},
		{"interval", i, i, 0},
		{"none", n, n, 0},
		{"none that became sync", n, s, 2},
		{"sync that became none", s, n, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			o := Options{SyncEvery: time.Hour}
			st, err := open(disk, "sessions", o.withDefaults())
			if err != nil {
				t.Fatal(err)
			}
			stop := running(t, st)
			defer stop()
			filled(st, "other", 0, 1)
			waitWritten(t, st.Log())
			c := filledFor(st, "c", tt.first)
			waitWritten(t, st.Log())
			c.SetDurability(tt.then)
			enqueue(c, 1, 1)
			waitWritten(t, st.Log())
			crashed := opened(t, disk.CrashClone(vfs.CrashCloneCfg{}), "sessions")
			defer func() { _ = crashed.Close() }()
			got := make(map[string]int)
			for state, err := range crashed.Load(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got[state.Profile.ClientID] = len(state.Messages)
			}
			if got["c"] != tt.survive || got["other"] != 1 {
				t.Errorf("messages of the sessions: %v, want %d of c", got, tt.survive)
			}
		})
	}
}

// filledFor makes a session of a durability with the message "0" in its queue.
func filledFor(s *Store, id string, d session.Durability) *session.Session {
	c := session.New(id, session.Limits{})
	c.Keep(s.Log(), d)
	c.Describe(&session.Profile{ClientID: id, Expiry: 100})
	enqueue(c, 0, 1)
	return c
}
