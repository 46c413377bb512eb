package broker

import (
	"sync"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// receipts are the messages for a client about which somebody wants to know
// what becomes of them. Each is known by its pointer, which is in no other
// session's queue. The zero value is empty.
type receipts struct {
	count atomic.Int32 // entries: almost always none

	mu    sync.Mutex // guards the fields below, and all receipts
	known map[*mqtt.Message]*receipt
}

// receipt is what is known of one message.
type receipt struct {
	names []*mqtt.Message // as it was queued, and what a deliver hook made of it
	state Enqueued
	over  bool
	done  chan struct{} // closed when over
}

// follow begins to watch a message before it is queued; forget ends it.
func (r *receipts) follow(m *mqtt.Message) *receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := &receipt{done: make(chan struct{})}
	r.name(x, m)
	return x
}

// name makes a receipt known by another message. mu is held.
func (r *receipts) name(x *receipt, m *mqtt.Message) {
	if r.known == nil {
		r.known = make(map[*mqtt.Message]*receipt)
	}
	x.names = append(x.names, m)
	r.known[m] = x
	r.count.Store(int32(len(r.known))) //nolint:gosec // as many as calls that wait
}

// forget ends the watch and returns what is known.
func (r *receipts) forget(x *receipt) Enqueued {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range x.names {
		delete(r.known, m)
	}
	r.count.Store(int32(len(r.known))) //nolint:gosec // as many as calls that wait
	return x.state
}

// change lets f write down what happened to a message, if it is watched.
func (r *receipts) change(m *mqtt.Message, f func(*receipt)) {
	if r.count.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.known[m]; x != nil && !x.over {
		f(x)
	}
}

// end says that nothing more will happen. The registry's mu is held.
func (x *receipt) end() {
	x.over = true
	close(x.done)
}

// queued says that the message of a receipt came into the queue.
func (r *receipts) queued(x *receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x.state.Queued = true
}

// replaced says that a deliver hook made another message of one.
func (r *receipts) replaced(old, by *mqtt.Message) {
	r.change(old, func(x *receipt) { r.name(x, by) })
}

// sent says that a message was encoded for the network; packet identifier 0 is
// that of QoS 0, of which nothing more is heard.
func (r *receipts) sent(m *mqtt.Message, id uint16) {
	r.change(m, func(x *receipt) {
		x.state.Sent, x.state.PacketID = true, id
		if id == 0 {
			x.end()
		}
	})
}

// acknowledged says that the receiver has answered a message for good.
func (r *receipts) acknowledged(m *mqtt.Message, code mqtt.ReasonCode) {
	r.change(m, func(x *receipt) {
		x.state.Acknowledged, x.state.Code = true, code
		x.end()
	})
}

// dropped says that a message will not reach the receiver.
func (r *receipts) dropped(m *mqtt.Message, cause hook.Cause) {
	r.change(m, func(x *receipt) {
		x.state.Dropped = cause
		x.end()
	})
}

// sessionEnded says that no message will reach the receiver any more.
func (r *receipts) sessionEnded() {
	if r.count.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.known {
		if !x.over {
			x.state.Dropped = hook.CauseSession
			x.end()
		}
	}
}
