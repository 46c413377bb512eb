//go:build !race

// Under the race detector a sync.Pool drops what it is given at random.

package session_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// A session in steady use allocates nothing per message.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for q := mqtt.AtMostOnce; q <= mqtt.ExactlyOnce; q++ {
		for _, batch := range []int{1, 100} {
			turn := pump(q, batch)
			turn()
			if n := testing.AllocsPerRun(200, turn); n > 0 {
				t.Errorf("%v allocations per %d messages of QoS %d", n, batch, q)
			}
		}
	}
}

func TestPassingAllocatesNothing(t *testing.T) {
	s := session.New("c", session.Limits{})
	s.Attach(session.Attachment{Version: mqtt.V311, PassUpTo: 100})
	l := parcelOf("t", "one", "two")
	var batch []session.Outgoing
	turn := func() {
		s.Pass(l)
		batch = s.Next(batch[:0], 10, t0, nil)
		batch[0].Passed.Release()
	}
	turn()
	if n := testing.AllocsPerRun(200, turn); n >= 1 { // a collection may empty the pool
		t.Errorf("%v allocations", n)
	}
}
