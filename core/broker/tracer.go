package broker

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Tracer follows single publishes of clients through the broker. Wills and what
// the server API publishes are not followed.
type Tracer interface {
	// Begin is called by the readers of all clients, for every PUBLISH, before
	// anything was decided about it; arrived is when it was read. It must be
	// quick. It returns nil for a message that is not followed.
	Begin(m *mqtt.Message, arrived time.Time) Trace
}

// Trace follows one publish. Its methods are called by one goroutine, in the
// order in which they stand here, those in the middle as far as it came to that.
// They must not block.
type Trace interface {
	// Mark says that the next step begins now.
	Mark()
	// Stored says that the message was handed to the retained store and is as
	// durable as that promises, or was refused.
	Stored()
	// Routed says that it was queued for so many sessions.
	Routed(receivers int)
	// End says that the publisher's acknowledgement is on its way, if there is
	// one. The verdict is not changed afterwards.
	End(v hook.CallVerdict)
}

// follow asks the tracer which messages of the run it follows.
func (r *run) follow(c *conn) {
	if c.b.tracer == nil {
		return
	}
	for i := range r.items {
		if it := &r.items[i]; !it.duplicate {
			it.trace = c.b.tracer.Begin(it.call.Message, c.now)
			r.followed = r.followed || it.trace != nil
		}
	}
}

// traces calls f for what is followed.
func (r *run) traces(f func(*inbound)) {
	if !r.followed {
		return
	}
	for i := range r.items {
		if it := &r.items[i]; it.trace != nil {
			f(it)
		}
	}
}

func (r *run) stored(it *inbound) {
	if it.call.Message.Retain {
		it.trace.Stored()
	}
}

// endTraces ends what follow began.
func (r *run) endTraces() {
	r.traces(func(it *inbound) { it.trace.End(it.call.Verdict) })
	r.followed = false
}
