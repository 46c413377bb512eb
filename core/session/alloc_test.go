//go:build !race

// Under the race detector a sync.Pool drops what it is given at random.

package session_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
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
