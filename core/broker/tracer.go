package broker

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Tracer follows single publishes of clients through the broker to their
// receivers, and single connections until they are made or refused. Wills and what
// the server API publishes are not followed. Its methods are called from the
// goroutines of all clients, and must be quick.
type Tracer interface {
	// Begin is called for every PUBLISH before anything was decided about it;
	// arrived is when it was read. It returns nil for a message that is not
	// followed.
	Begin(m *mqtt.Message, arrived time.Time) Trace
	// Connecting is called for every CONNECT before validators are asked. It
	// returns nil for one that is not followed.
	Connecting(c *hook.Connect) ConnectTrace
	// Sent is called for every PUBLISH to a receiver when it was encoded for the
	// network; it may be one that is sent again. m is what Begin was given, or
	// what hooks made of it, if it is from a publish that is followed; it may come
	// before Trace's Routed.
	Sent(m *mqtt.Message, receiver string, qos mqtt.QoS)
	// Acknowledged is called when a receiver has answered one for good.
	Acknowledged(m *mqtt.Message, receiver string, code mqtt.ReasonCode)
}

// ConnectTrace follows one connection.
type ConnectTrace interface {
	// End says that CONNACK is on its way, or that the client has gone before. It
	// is called once.
	End(code mqtt.ReasonCode, reason string)
}

// Trace follows one publish. Its methods are called by one goroutine, in the
// order in which they stand here, those in the middle as far as it came to that.
// They must not block.
type Trace interface {
	// Mark says that the next step begins now.
	Mark()
	// Stored says that the message was handed to the retained store and is as
	// durable as that promises, or was refused; or that it is in the log of sessions,
	// so that the acknowledgement waits for it.
	Stored()
	// Routed says that it was queued for so many sessions.
	Routed(receivers int)
	// End says that the publisher's acknowledgement is on its way, if there is
	// one. The verdict is not changed afterwards.
	End(v hook.CallVerdict)
}

// followConnect asks the tracer whether it follows the connection.
func (c *conn) followConnect() {
	if t := c.b.force.Load().tracer; t != nil {
		c.connecting = t.Connecting(c.connect)
	}
}

// endConnect says what came of a connection that may be followed.
func (c *conn) endConnect(code mqtt.ReasonCode, reason string) {
	if t := c.connecting; t != nil {
		c.connecting = nil
		t.End(code, reason)
	}
}

// follow asks the tracer which messages of the run it follows.
func (r *run) follow(c *conn) {
	tracer := c.b.force.Load().tracer
	if tracer == nil {
		return
	}
	r.reclaim(true)
	for i := range r.items {
		if it := &r.items[i]; !it.duplicate {
			it.trace = tracer.Begin(it.call.Message, r.now)
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
	if it.retained || it.call.Verdict.By == byRetainedStore {
		it.trace.Stored()
	}
}

// endTraces ends what follow began.
func (r *run) endTraces() {
	r.traces(func(it *inbound) { it.trace.End(it.call.Verdict) })
	r.followed = false
}
