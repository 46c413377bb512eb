package broker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// A clock that was wrong when a client went away, or that is set meanwhile, delays
// neither its will nor its end for ever.
func TestRestoredTimes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		since  time.Duration // ago
		expiry uint32
		set    time.Duration // how far the clock is set back while the timer runs
	}{
		{"future", -time.Hour, 2, 0},
		{"past", 0, 2, 0},
		{"set back, for ever", 0, neverExpires, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(Options{})
				b.changes = session.NewLog(0)
				c := b.restore(&session.State{Number: 1, Profile: session.Profile{
					ClientID: "c", Expiry: tt.expiry, Since: time.Now().Add(-tt.since).Round(0),
					Will: &mqtt.Message{Topic: "will", Publisher: "c", Origin: mqtt.FromWill}, WillDelay: time.Second,
				}})
				c.rights.Store(hook.NewRights(nil, "c", ""))
				c.resume()
				c.mu.Lock()
				c.since = c.since.Add(tt.set)
				c.mu.Unlock()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.will != nil {
					t.Error("the will still waits")
				}
				if there := b.clients.get("c") != nil; there != (tt.expiry == neverExpires) {
					t.Errorf("the session is there: %v", there)
				}
			})
		})
	}
}
