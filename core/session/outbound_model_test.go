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
		t: t, s: session.New("client", lim), window: int(lim.InFlight),
		owed: map[int]mqtt.QoS{}, held: map[uint16]int{}, refused: map[int]bool{},
	}
}

func numberOf(d mqtt.Delivery) int { return int(binary.BigEndian.Uint32(d.Message.Payload)) }

func (r *receiver) publish(t *rapid.T) {
	q := mqtt.QoS(rapid.IntRange(0, 2).Draw(t, "qos"))
	r.last++
	d := message(q, string(binary.BigEndian.AppendUint32(nil, uint32(r.last))))
	outcome, dropped := r.s.Enqueue(d, t0)
	switch {
	case q == 0 && !r.online:
		r.expect(outcome, session.DroppedOffline)
	case len(r.queue) < modelQueue:
		r.expect(outcome, session.Queued)
		r.accept(d)
	case outcome == session.DroppedOldest:
		if len(dropped) != 1 || numberOf(dropped[0].Delivery) != numberOf(r.queue[0]) {
			t.Fatalf("dropped %v, want message %d", dropped, numberOf(r.queue[0]))
		}
		delete(r.owed, numberOf(r.queue[0]))
		r.queue = r.queue[1:]
		r.accept(d)
	default:
		r.expect(outcome, session.DroppedNew)
	}
}

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

func (r *receiver) attach(t *rapid.T) {
	if r.online {
		t.Skip("online")
	}
	maximum := rapid.IntRange(1, 5).Draw(t, "receive maximum")
	r.connect(uint16(maximum))
}

func (r *receiver) connect(receiveMaximum uint16) {
	r.online, r.wakes, r.asleep = true, 0, true
	r.window = int(receiveMaximum)
	for i := range r.flight {
		r.flight[i].due = true
		r.flight[i].holds = r.flight[i].released
	}
	r.s.SetLimits(session.Limits{QueueMessages: modelQueue, InFlight: receiveMaximum})
	r.s.Attach(session.Attachment{
		Version: mqtt.V5, ReceiveMaximum: receiveMaximum,
		Wake: func() { r.wakes++ },
	})
}

func (r *receiver) detach(t *rapid.T) {
	if !r.online {
		t.Skip("offline")
	}
	r.online = false
	r.toClient, r.toSession = nil, nil // lost, wherever they were
	before := len(r.queue)
	r.queue = slices.DeleteFunc(r.queue, func(d mqtt.Delivery) bool { return d.QoS == 0 })
	if got := r.s.Detach(); got != before-len(r.queue) {
		t.Fatalf("Detach dropped %d, want %d", got, before-len(r.queue))
	}
}

// write is a turn of the writer.
func (r *receiver) write(t *rapid.T) {
	if !r.online {
		t.Skip("offline")
	}
	most := rapid.IntRange(1, 8).Draw(t, "max")
	if cancel := rapid.IntRange(0, 9).Draw(t, "cancel") == 0; cancel {
		most = 1
		r.cancel(r.send(most))
		return
	}
	r.send(most)
}

func (r *receiver) send(most int) []session.Outgoing {
	out := r.s.Next(nil, most, t0, nil)
	if len(out) > most {
		r.t.Fatalf("%d packets, at most %d", len(out), most)
	}
	if len(out) > 0 && r.asleep && r.wakes == 0 {
		r.t.Fatal("there was something to send, and no wake")
	}
	for _, o := range out {
		r.check(o)
	}
	if len(out) < most && r.sendable() {
		r.t.Fatal("there is more to send")
	}
	r.asleep, r.wakes = !r.sendable(), 0
	r.toClient = append(r.toClient, out...)
	return out
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

// cancel drops the packet that the writer could not send.
func (r *receiver) cancel(out []session.Outgoing) {
	if len(out) == 0 || out[0].Kind == session.SendPubrel || out[0].ID == 0 {
		return
	}
	r.toClient = r.toClient[:len(r.toClient)-1]
	r.end(r.find(out[0].ID))
	delete(r.owed, numberOf(out[0].Delivery))
	r.s.Cancel(out[0].ID)
}

func (r *receiver) end(i int) { r.flight = slices.Delete(r.flight, i, i+1) }

// read is the client taking one packet, and answering it.
func (r *receiver) read(t *rapid.T) {
	if len(r.toClient) == 0 {
		t.Skip("nothing on the way")
	}
	refuse := rapid.IntRange(0, 9).Draw(t, "refuse") == 0
	r.readOne(refuse)
}

func (r *receiver) readOne(refuse bool) {
	o := r.toClient[0]
	r.toClient = r.toClient[1:]
	number := numberOf(o.Delivery)
	answer := reply{id: o.ID}
	switch {
	case o.Kind == session.SendPubrel:
		delete(r.held, o.ID)
		answer.kind = 'c'
	case o.Delivery.QoS == 0:
		r.log = append(r.log, number)
		return
	case o.Delivery.QoS == 1:
		r.log = append(r.log, number)
		answer.kind = 'a'
	default:
		answer.kind = 'r'
		holds, known := r.held[o.ID]
		switch {
		case known && holds != number:
			r.t.Fatalf("identifier %d for message %d while the client holds %d", o.ID, number, holds)
		case known:
		case refuse || r.refused[number]:
			answer.code = mqtt.QuotaExceeded
			r.refused[number] = true
			delete(r.owed, number)
		default:
			r.held[o.ID] = number
			r.log = append(r.log, number)
		}
	}
	r.toSession = append(r.toSession, answer)
}

// acknowledge brings one of the client's answers to the session, in any order.
func (r *receiver) acknowledge(t *rapid.T) {
	if len(r.toSession) == 0 {
		t.Skip("nothing on the way")
	}
	r.acknowledgeOne(rapid.IntRange(0, len(r.toSession)-1).Draw(t, "which"))
}

func (r *receiver) acknowledgeOne(which int) {
	a := r.toSession[which]
	r.toSession = slices.Delete(r.toSession, which, which+1)
	i := r.find(a.id)
	switch a.kind {
	case 'a':
		d, found := r.s.Puback(a.id)
		r.finished(i, d, found)
	case 'c':
		d, found := r.s.Pubcomp(a.id)
		r.finished(i, d, found)
	case 'r':
		r.pubrec(i, a)
	}
	if r.wakes > 1 {
		r.t.Fatalf("%d wakes", r.wakes)
	}
}

func (r *receiver) pubrec(i int, a reply) {
	code, pubrel, d, done := r.s.Pubrec(a.id, a.code)
	if code != mqtt.Success {
		r.t.Fatalf("PUBREC of identifier %d: %v", a.id, code)
	}
	if done != a.code.Failed() || pubrel == done {
		r.t.Fatalf("PUBREC %v: done %v, PUBREL %v", a.code, done, pubrel)
	}
	if done {
		r.finished(i, d, true)
		return
	}
	f := r.flight[i]
	f.released, f.due, f.holds = true, false, true
	r.flight[i] = f
	r.toClient = append(r.toClient, session.Outgoing{
		Kind: session.SendPubrel, ID: a.id,
		Delivery: message(2, string(binary.BigEndian.AppendUint32(nil, uint32(f.number)))),
	})
}

func (r *receiver) finished(i int, d mqtt.Delivery, found bool) {
	if !found || i < 0 || numberOf(d) != r.flight[i].number {
		r.t.Fatalf("acknowledged %+v, found %v, place %d", d, found, i)
	}
	r.end(i)
}

// stray brings an acknowledgement that belongs to nothing.
func (r *receiver) stray(t *rapid.T) {
	id := uint16(rapid.IntRange(0, 40).Draw(t, "id"))
	i := r.find(id)
	if i < 0 || r.flight[i].qos != 1 {
		if _, found := r.s.Puback(id); found {
			t.Fatalf("PUBACK of %d found", id)
		}
	}
	if i < 0 || !r.flight[i].released {
		if _, found := r.s.Pubcomp(id); found {
			t.Fatalf("PUBCOMP of %d found", id)
		}
	}
	if i < 0 {
		if code, _, _, done := r.s.Pubrec(id, mqtt.Success); code != mqtt.PacketIdentifierNotFound || done {
			t.Fatalf("PUBREC of %d: %v, %v", id, code, done)
		}
	}
}

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

// settle lets everything arrive.
func (r *receiver) settle() {
	if !r.online {
		r.connect(1000)
	}
	for len(r.queue)+len(r.flight) > 0 {
		before := len(r.queue) + len(r.flight) + len(r.toClient) + len(r.toSession)
		sent := len(r.send(1000))
		for len(r.toClient) > 0 {
			r.readOne(false)
		}
		for len(r.toSession) > 0 {
			r.acknowledgeOne(0)
			for len(r.toClient) > 0 {
				r.readOne(false)
			}
		}
		if sent == 0 && before == len(r.queue)+len(r.flight) {
			r.t.Fatalf("stuck: %d queued, flight %+v", len(r.queue), r.flight)
		}
	}
	for len(r.toClient) > 0 {
		r.readOne(false)
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
