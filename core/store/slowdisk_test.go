package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// On a disk that takes its time those who wait share its syncs, retained messages
// too, and nothing that was promised is lost with the power.
func TestSlowDisk(t *testing.T) {
	disk := vfs.NewCrashableMem()
	slow := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			time.Sleep(5 * time.Millisecond)
		}
		return nil
	}))
	s := opened(t, slow, "sessions")
	stop := running(t, s)
	const clients, each = 40, 10
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range clients {
		all.Go(func() {
			c := filled(s, fmt.Sprint("c", i), 0, 0)
			for n := range each {
				enqueue(c, n, 1)
				if err := s.Log().Wait(ctx, c.Position()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range uint64(each) {
		if err := s.Retained().Apply(ctx, []retain.Change{put("t", fmt.Sprint(n), n+1, retain.DurabilitySync)}); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if st := s.Stats(); st.Batches > clients*each/4 {
		t.Errorf("%d batches for %d promises", st.Batches, clients*each)
	}
	crashed := opened(t, disk.CrashClone(vfs.CrashCloneCfg{}), "sessions")
	defer func() { _ = crashed.Close() }()
	stop()
	if all, _ := retained(t, crashed); all["t"] != fmt.Sprint(each-1) {
		t.Errorf("retained is %v", all)
	}
	sessions := 0
	for st, err := range crashed.Load(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if sessions++; len(st.Messages) != each {
			t.Errorf("%s has %d messages", st.Profile.ClientID, len(st.Messages))
		}
	}
	if sessions != clients {
		t.Errorf("%d sessions", sessions)
	}
}
