package session_test

import (
	"encoding/binary"
	"slices"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

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
	case r.overflow == session.DropNewest:
		r.expect(outcome, session.DroppedNew)
	default:
		r.expect(outcome, session.DroppedOldest)
		if len(dropped) != 1 || numberOf(dropped[0].Delivery) != numberOf(r.queue[0]) {
			t.Fatalf("dropped %v, want message %d", dropped, numberOf(r.queue[0]))
		}
		delete(r.owed, numberOf(r.queue[0]))
		r.queue = r.queue[1:]
		r.accept(d)
	}
}

func (r *receiver) attach(t *rapid.T) {
	if r.online {
		return
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
	r.s.SetLimits(session.Limits{QueueMessages: modelQueue, InFlight: receiveMaximum, Overflow: r.overflow})
	r.s.Attach(session.Attachment{
		Version: mqtt.V5, ReceiveMaximum: receiveMaximum,
		Wake: func() { r.wakes++ },
	})
}

func (r *receiver) detach(t *rapid.T) {
	if !r.online {
		return
	}
	r.online = false
	r.toClient, r.toSession = nil, nil // lost, wherever they were
	before := len(r.queue)
	r.queue = slices.DeleteFunc(r.queue, func(d mqtt.Delivery) bool { return d.QoS == 0 })
	if got := len(r.s.Detach()); got != before-len(r.queue) {
		t.Fatalf("Detach dropped %d, want %d", got, before-len(r.queue))
	}
}

// write is a turn of the writer.
func (r *receiver) write(t *rapid.T) {
	if !r.online {
		return
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

// read is the client taking one packet, and answering it.
func (r *receiver) read(t *rapid.T) {
	if len(r.toClient) == 0 {
		return
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
		return
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
