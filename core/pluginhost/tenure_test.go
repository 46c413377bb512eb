//go:build unix

package pluginhost

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A file that is being written is not started; once it rests, it is.
func TestSupervisorWaitsForFilesToRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{})
		n.begin()
		n.expect(t, Ready)
		old := n.worker
		rules := ""
		for range 10 {
			rules += "one more line\n"
			must(t, os.WriteFile(filepath.Join(n.place.folder, "rules.txt"), []byte(rules), 0o600))
			time.Sleep(n.timing.watch)
			synctest.Wait()
		}
		if got := n.births.Load(); got != 1 {
			t.Fatalf("%d instances were started meanwhile", got-1)
		}
		time.Sleep(2 * n.timing.watch)
		if s := n.expect(t, Ready); s.Swaps != 1 || n.worker == old {
			t.Errorf("status is %+v", s)
		}
		if first, second := <-old.calls, <-old.calls; first != "drain" || second != "stop" {
			t.Errorf("the old one: %s, %s", first, second)
		}
		// Nothing more changes: nothing more is started.
		time.Sleep(time.Minute)
		n.expect(t, Ready)
		if got := n.births.Load(); got != 2 {
			t.Errorf("%d instances were started", got)
		}
		n.finish()
	})
}
