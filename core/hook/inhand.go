package hook

import (
	"context"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// MaxHops bounds how often hooks may publish on account of a message that a
// hook has published: a message has one hop more than the one that its maker
// was asked about, or told of, and one with more hops is refused.
const MaxHops = 8

// MaxLater bounds the messages that wait in an [InHand], and those that wait on
// account of one message altogether.
const MaxLater = 1024

// InHand is what the broker has in hand while it asks hooks. A message that a
// hook publishes meanwhile waits in it until that is done with, acknowledged
// in particular: neither can such a message overtake the one on account of
// which it was made, nor does the hook wait for itself.
//
// The broker makes it and puts it into the context that hooks get; a hook that
// runs in another process names its call instead, and its host finds it. Its
// methods may be called from many goroutines. The zero value has no hops and is
// closed.
type InHand struct {
	hops uint8

	mu    sync.Mutex // guards the fields below
	open  bool
	later []*mqtt.Message
}

// NewInHand returns a closed one for a message with so many hops.
func NewInHand(hops uint8) *InHand { return &InHand{hops: hops} }

// Open lets messages wait.
func (h *InHand) Open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = true
}

// Close lets no more messages wait and returns those that do, in their order.
func (h *InHand) Close() []*mqtt.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	later := h.later
	h.open, h.later = false, nil
	return later
}

// IsOpen reports whether the broker waits for hooks. A nil InHand is closed.
func (h *InHand) IsOpen() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// Later lets a message wait. It reports false if h is closed: the message may
// go out now. Full says that as many as may wait already.
func (h *InHand) Later(m *mqtt.Message) (waits, full bool) {
	if h == nil {
		return false, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.open:
		return false, false
	case len(h.later) >= MaxLater:
		return false, true
	}
	h.later = append(h.later, m)
	return true, false
}

// NextHops is how many hops a message has that is made on account of h: none if
// h is nil.
func (h *InHand) NextHops() uint8 {
	if h == nil {
		return 0
	}
	return h.hops + 1
}

type inHandKey struct{}

// WithInHand returns a context that says what is in hand.
func WithInHand(ctx context.Context, h *InHand) context.Context {
	return context.WithValue(ctx, inHandKey{}, h)
}

// InHandOf is what ctx says, nil if it says nothing.
func InHandOf(ctx context.Context) *InHand {
	h, _ := ctx.Value(inHandKey{}).(*InHand)
	return h
}
