package retain_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// limited is a store that takes messages up to a size.
type limited struct {
	*fake
	bytes atomic.Int64
}

func (l *limited) MaxMessageBytes() int { return int(l.bytes.Load()) }

var _ retain.Limiter = (*limited)(nil)

// TestMessageTooLarge refuses what the store would never take, before anything
// changes; what it replaced stays, and can be removed.
func TestMessageTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &limited{fake: &fake{t: t}}
		store.bytes.Store(10)
		x := retain.New(retain.Options{Store: store})
		stop := start(t, x)
		defer stop()
		set(t, x, "a", "123456789")
		_, err := x.Set(&mqtt.Message{Topic: "a", Payload: []byte("1234567890")}, time.Now())
		if !errors.Is(err, retain.ErrTooLarge) || !strings.Contains(err.Error(), "11 bytes, and it takes 10") {
			t.Errorf("Set: %v", err)
		}
		if m, ok := x.Get("a", time.Now()); !ok || string(m.Payload) != "123456789" {
			t.Errorf("a message was replaced by one that was refused: %v", m)
		}
		store.bytes.Store(0) // no limit
		set(t, x, "a", strings.Repeat("x", 1000))
		store.bytes.Store(1)
		set(t, x, "a", "")
		synctest.Wait()
		if x.Len() != 0 || x.Pending() != 0 {
			t.Errorf("%d messages, %d pending", x.Len(), x.Pending())
		}
	})
}
