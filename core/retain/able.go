package retain

import (
	"fmt"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Ready returns why the store can't write anything at present, if it is a
// [Readier]; nil otherwise. What is set meanwhile waits for it.
func (x *Index) Ready() error {
	if x.memory.Load() {
		return nil
	}
	x.mu.Lock()
	r, ok := x.store.(Readier)
	x.mu.Unlock()
	if !ok {
		return nil
	}
	return r.Ready()
}

// fits refuses a message that the store will never take.
func (x *Index) fits(m *mqtt.Message) error {
	stores := []Store{x.store}
	if x.move != nil {
		stores = append(stores, x.move.target)
	}
	for _, s := range stores {
		if l, ok := s.(Limiter); ok {
			if size, limit := m.Size(), l.MaxMessageBytes(); limit > 0 && size > limit {
				return fmt.Errorf("%w: %d bytes, and it takes %d", ErrTooLarge, size, limit)
			}
		}
	}
	return nil
}
