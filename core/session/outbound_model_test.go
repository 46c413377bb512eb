package session_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// reply is an acknowledgement on its way from the client.
type reply struct {
	kind rune // 'a' PUBACK, 'r' PUBREC, 'c' PUBCOMP
	id   uint16
	code mqtt.ReasonCode
}

// flow is a message in flight as the specification has it.
type flow struct {
	id       uint16
	number   int
	qos      mqtt.QoS
	released bool // PUBREC came
	holds    bool // a slot of the window, over this connection
	due      bool
}

// receiver is a subscriber, the two directions of its connection and what the
// session must be doing, written as directly as the specification says it.
type receiver struct {
	t *rapid.T
	s *session.Session

	overflow  session.Overflow
	online    bool
	window    int
	toClient  []session.Outgoing
	toSession []reply

	queue  []mqtt.Delivery
	flight []flow // in the order of sending
	wakes  int    // since Next returned nothing
	asleep bool   // Next returned nothing, or was not called since Attach

	owed map[int]mqtt.QoS // accepted with QoS 1 or 2, neither dropped nor refused
	last int              // number of the last message

	// What a client keeps over connections, and what its application saw.
	held    map[uint16]int // QoS 2 between PUBLISH and PUBREL
	refused map[int]bool
	log     []int
}

const modelQueue = 6

func newReceiver(t *rapid.T) *receiver {
	lim := session.Limits{
		QueueMessages: modelQueue,
		InFlight:      uint16(rapid.IntRange(1, 12).Draw(t, "in flight")),
		Overflow:      session.Overflow(rapid.IntRange(0, 1).Draw(t, "overflow")),
	}
	return &receiver{
		t: t, s: session.New("client", lim), window: int(lim.InFlight), overflow: lim.Overflow,
		owed: map[int]mqtt.QoS{}, held: map[uint16]int{}, refused: map[int]bool{},
	}
}

func numberOf(d mqtt.Delivery) int { return int(binary.BigEndian.Uint32(d.Message.Payload)) }

func (r *receiver) expect(got, want session.Outcome) {
	if got != want {
		r.t.Fatalf("outcome %v, want %v", got, want)
	}
}

func (r *receiver) accept(d mqtt.Delivery) {
	r.queue = append(r.queue, d)
	if d.QoS > 0 {
		r.owed[numberOf(d)] = d.QoS
	}
}

// check compares a packet with what the specification lets the session send.
func (r *receiver) check(o session.Outgoing) {
	if o.Dup || o.Kind == session.SendPubrel {
		r.checkAgain(o)
		return
	}
	if slices.ContainsFunc(r.flight, func(f flow) bool { return f.due && !f.released }) {
		r.t.Fatal("a new message overtakes a retransmission")
	}
	if len(r.queue) == 0 || numberOf(o.Delivery) != numberOf(r.queue[0]) {
		r.t.Fatalf("message %d is not the first of the queue", numberOf(o.Delivery))
	}
	r.queue = r.queue[1:]
	if o.Delivery.QoS == 0 {
		if o.ID != 0 {
			r.t.Fatal("QoS 0 with an identifier")
		}
		return
	}
	if o.ID == 0 || r.find(o.ID) >= 0 {
		r.t.Fatalf("identifier %d is in flight", o.ID)
	}
	r.flight = append(r.flight, flow{id: o.ID, number: numberOf(o.Delivery), qos: o.Delivery.QoS, holds: true})
	r.checkWindow()
}

// checkAgain checks a retransmission: once per connection, the same message
// under the same identifier, and after all of its kind that were before it.
func (r *receiver) checkAgain(o session.Outgoing) {
	i := r.find(o.ID)
	if i < 0 || !r.flight[i].due {
		r.t.Fatalf("identifier %d is not to be sent again", o.ID)
	}
	f := &r.flight[i]
	if f.released != (o.Kind == session.SendPubrel) || f.number != numberOf(o.Delivery) {
		r.t.Fatalf("%+v sent again as %+v", *f, o)
	}
	for _, before := range r.flight[:i] {
		if before.due && before.released == f.released && !f.released {
			r.t.Fatalf("identifier %d overtakes %d", o.ID, before.id)
		}
	}
	f.due = false
	if !f.released {
		f.holds = true
		r.checkWindow()
	}
}

func (r *receiver) holding() (n int) {
	for _, f := range r.flight {
		if f.holds {
			n++
		}
	}
	return n
}

func (r *receiver) checkWindow() {
	if n := r.holding(); n > r.window {
		r.t.Fatalf("%d messages unacknowledged, the window is %d", n, r.window)
	}
}

// sendable says whether the writer may send anything.
func (r *receiver) sendable() bool {
	open := r.holding() < r.window
	publish := false
	for _, f := range r.flight {
		if f.due && f.released {
			return true
		}
		publish = publish || f.due
	}
	if publish {
		return open
	}
	return len(r.queue) > 0 && (open || r.queue[0].QoS == 0)
}

func (r *receiver) find(id uint16) int {
	return slices.IndexFunc(r.flight, func(f flow) bool { return f.id == id })
}

func (r *receiver) end(i int) { r.flight = slices.Delete(r.flight, i, i+1) }

// invariants hold after every step.
func (r *receiver) invariants(t *rapid.T) {
	messages, _ := r.s.QueueLen()
	if messages != len(r.queue) || r.s.InFlight() != len(r.flight) || r.s.Pending() != len(r.queue)+len(r.flight) {
		t.Fatalf("%d queued, %d in flight, want %d, %d", messages, r.s.InFlight(), len(r.queue), len(r.flight))
	}
	if r.online && r.asleep && r.wakes == 0 && r.sendable() {
		t.Fatal("the writer sleeps although it may send")
	}
	if r.wakes > 1 {
		t.Fatalf("%d wakes without a Next", r.wakes)
	}
}

// delivered checks what the application saw: order, QoS 1 at least once and
// QoS 2 exactly once.
func (r *receiver) delivered() {
	count := map[int]int{}
	newest := 0
	for _, number := range r.log {
		count[number]++
		if count[number] == 1 {
			if number < newest {
				r.t.Fatalf("message %d came after %d", number, newest)
			}
			newest = number
		}
	}
	for number, q := range r.owed {
		if n := count[number]; n == 0 || q == 2 && n > 1 {
			r.t.Fatalf("message %d of QoS %d came %d times", number, q, n)
		}
	}
	if n := r.s.Pending(); n != 0 {
		r.t.Fatalf("%d pending at the end", n)
	}
}

// outboundModel lets a subscriber and its connection do anything legal.
func outboundModel(t *rapid.T) {
	r := newReceiver(t)
	t.Repeat(map[string]func(*rapid.T){
		"publish":       r.publish,
		"publish again": r.publish,
		"attach":        r.attach,
		"detach":        r.detach,
		"write":         r.write,
		"write again":   r.write,
		"read":          r.read,
		"read again":    r.read,
		"acknowledge":   r.acknowledge,
		"stray":         r.stray,
		"":              r.invariants,
	})
	r.settle()
	r.delivered()
}

func TestOutboundModel(t *testing.T) { rapid.Check(t, outboundModel) }

func FuzzOutboundModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(outboundModel)) }
