package session

import (
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Parcel is a run of messages of QoS 0 that have the topic and the publisher in
// common, were not retained and have no properties, as packets that any receiver
// of the same version may get as they are.
type Parcel struct {
	Topic, Publisher string
	Created          time.Time

	// Version is that of the packets. MQTT 3.1 and 3.1.1 are alike.
	Version mqtt.Version

	Packets  []byte // one behind the other
	Payloads []Span // of the messages, in Packets
	Largest  int    // size of a packet
}

// Span is a piece of a slice.
type Span struct{ From, To int }

// Size is the sum of what the messages count in a queue; see [mqtt.Message.Size].
func (l *Parcel) Size() int {
	n := len(l.Payloads) * len(l.Topic)
	for _, p := range l.Payloads {
		n += p.To - p.From
	}
	return n
}

// Message returns one of the messages, which shares no memory with the packets.
func (l *Parcel) Message(i int) *mqtt.Message {
	p := l.Payloads[i]
	return &mqtt.Message{
		Topic: l.Topic, Publisher: l.Publisher, Origin: mqtt.FromClient, Created: l.Created,
		Payload: append([]byte(nil), l.Packets[p.From:p.To]...),
	}
}

// Messages returns all of them. They share memory with each other, and none with
// the packets.
func (l *Parcel) Messages() []mqtt.Message {
	size := 0
	for _, p := range l.Payloads {
		size += p.To - p.From
	}
	payloads := make([]byte, 0, size)
	messages := make([]mqtt.Message, len(l.Payloads))
	for i, p := range l.Payloads {
		from := len(payloads)
		payloads = append(payloads, l.Packets[p.From:p.To]...)
		messages[i] = mqtt.Message{
			Topic: l.Topic, Publisher: l.Publisher, Origin: mqtt.FromClient, Created: l.Created,
			Payload: payloads[from:len(payloads):len(payloads)],
		}
	}
	return messages
}

// maxPassed is how many bytes may wait in Passed: about what a writer takes at
// once.
const maxPassed = 64 << 10

// Passed are packets that [Session.Pass] took and that go out before anything
// that is queued.
type Passed struct {
	Packets  []byte
	Messages int
	Payload  int // bytes

	parcels  []Parcel // without their packets
	payloads []Span
	size     int
	sequence uint64 // of the first message, as if all had been queued
}

var passes = sync.Pool{New: func() any { return new(Passed) }}

// Release lets others use the memory. Called once, by who was handed p by
// [Session.Next].
func (p *Passed) Release() {
	clear(p.parcels)
	*p = Passed{Packets: p.Packets[:0], parcels: p.parcels[:0], payloads: p.payloads[:0]}
	passes.Put(p)
}

func (p *Passed) add(l *Parcel) {
	from, first := len(p.Packets), len(p.payloads)
	p.Packets = append(p.Packets, l.Packets...)
	for _, s := range l.Payloads {
		p.payloads = append(p.payloads, Span{from + s.From, from + s.To})
		p.Payload += s.To - s.From
	}
	n := len(l.Payloads)
	p.Messages += n
	p.size += l.Size()
	if first > 0 {
		if last := &p.parcels[len(p.parcels)-1]; last.Topic == l.Topic && last.Publisher == l.Publisher && last.Created.Equal(l.Created) {
			last.Payloads = p.payloads[first-len(last.Payloads) : first+n]
			return
		}
	}
	parcel := *l
	parcel.Packets, parcel.Payloads = nil, p.payloads[first:]
	p.parcels = append(p.parcels, parcel)
}

// Pass takes messages for a client that keeps up, in place of [Session.Enqueue],
// and copies the packets only: nothing of l is kept. It takes none, and reports
// false, if they have to be queued: because something waits, or there is no room,
// or they are not what the client is to get; see [Attachment.PassUpTo]. Called
// by many goroutines at once; it may call Wake, after unlocking.
//
// What was passed waits like what is queued, and becomes that as soon as
// somebody wants to look at the queue.
func (s *Session) Pass(l *Parcel) bool {
	s.mu.Lock()
	if !s.takes(l) {
		s.mu.Unlock()
		return false
	}
	if s.conn.passed == nil {
		s.conn.passed = passes.Get().(*Passed)
		s.conn.passed.sequence = s.sequence + 1
	}
	s.conn.passed.add(l)
	s.sequence += uint64(len(l.Payloads))
	s.unlock()
	return true
}

func (s *Session) takes(l *Parcel) bool {
	c := s.conn
	if c == nil || s.ended || s.queue.count > 0 || s.flight.duePublish() != nil {
		return false
	}
	if l.Largest > c.offered.PassUpTo || (l.Version == mqtt.V5) != (c.offered.Version == mqtt.V5) {
		return false
	}
	if k := s.kept; k != nil && (k.spill != nil || len(k.staged) > 0 || k.waits()) {
		return false
	}
	messages, bytes := s.passed()
	if c.passed != nil && len(c.passed.Packets)+len(l.Packets) > maxPassed {
		return false
	}
	return messages+len(l.Payloads) <= s.limits.QueueMessages && bytes+l.Size() <= s.limits.QueueBytes
}

// passed returns what was passed and waits. mu is held.
func (s *Session) passed() (messages, bytes int) {
	if s.conn == nil || s.conn.passed == nil {
		return 0, 0
	}
	return s.conn.passed.Messages, s.conn.passed.size
}

// unpass queues what was passed, before all that is queued. mu is held.
func (s *Session) unpass() {
	if s.conn == nil || s.conn.passed == nil {
		return
	}
	p, later := s.conn.passed, s.queue
	s.conn.passed, s.queue = nil, queue{}
	sequence := p.sequence
	for i := range p.parcels {
		l := &p.parcels[i]
		l.Packets = p.Packets
		for n := range l.Payloads {
			s.queue.push(item{Delivery: mqtt.Delivery{Message: l.Message(n)}, sequence: sequence})
			sequence++
		}
	}
	soonest := later.soonest
	for later.count > 0 {
		s.queue.push(later.pop())
	}
	s.queue.soonest = soonest
	p.Release()
}
