package broker

import (
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// maxLoan bounds the bytes of a loan.
const maxLoan = 64 << 10

// loan is those publishes of a run that the decoder has lent and interceptors are
// asked about, in one batch with all others of the run. Hooks see messages whose
// payloads lie in packets. What passes as it came is passed on as parcels; all
// others become messages of their own.
type loan struct {
	packets  []byte
	places   []lentAt
	messages []mqtt.Message // one for each place
	parcel   parcel         // a part of it, when it is passed on
}

// lentAt is where a packet lies in those of a loan. It begins where the one before
// it ends.
type lentAt struct{ payload, end int }

// borrow adds a PUBLISH that the decoder has lent to the run.
func (r *run) borrow(c *conn, m *mqtt.Message, whole []byte) *ending {
	if e := r.passOn(c); e != nil {
		return e
	}
	l := &r.loan
	l.packets = append(l.packets, whole...)
	end := len(l.packets)
	l.places = append(l.places, lentAt{end - len(m.Payload), end})
	l.messages = append(l.messages, *m)
	it := r.next()
	it.lent = len(l.messages)
	it.call.Client = c.client.info.Load()
	if len(r.items) >= maxRun || end >= maxLoan {
		return r.flush(c)
	}
	return nil
}

// open gives the calls about what was borrowed their messages.
func (r *run) open() {
	l := &r.loan
	if len(l.messages) == 0 {
		return
	}
	for i := range r.items {
		if it := &r.items[i]; it.lent > 0 {
			m, at := &l.messages[it.lent-1], l.places[it.lent-1]
			m.Payload = l.packets[at.payload:at.end:at.end]
			it.call.Message = m
		}
	}
}

// reclaim gives what can't be passed on as it came, or everything, messages that
// may be kept.
func (r *run) reclaim(everything bool) {
	l := &r.loan
	if len(l.messages) == 0 {
		return
	}
	for i := range r.items {
		it := &r.items[i]
		if it.lent == 0 {
			continue
		}
		m, lent := it.call.Message, &l.messages[it.lent-1]
		if m == lent && !everything && it.call.Verdict.Action == hook.Pass {
			continue
		}
		it.lent = 0
		if m == lent || sameMemory(m.Payload, lent.Payload) {
			it.call.Message = m.Kept()
		}
	}
}

func sameMemory(a, b []byte) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }

// passBorrowed passes on what was borrowed, has the topic in common and stands
// together in the run, from an item on. It returns how many these are.
func (r *run) passBorrowed(c *conn, from int) int {
	l := &r.loan
	first := r.items[from].lent - 1
	begin := 0
	if first > 0 {
		begin = l.places[first-1].end
	}
	p, m := &l.parcel, &l.messages[first]
	*p = parcel{Parcel: session.Parcel{
		Topic: m.Topic, Publisher: m.Publisher, Created: m.Created, Version: c.version, Payloads: p.Payloads[:0],
	}}
	n, end := 0, begin
	for from+n < len(r.items) && r.items[from+n].lent > 0 && l.messages[first+n].Topic == m.Topic {
		at := l.places[first+n]
		p.Payloads = append(p.Payloads, session.Span{From: at.payload - begin, To: at.end - begin})
		p.Largest = max(p.Largest, at.end-end)
		end = at.end
		n++
	}
	p.Packets = l.packets[begin:end:end]
	r.distribute(c.b, c.client, p)
	*p = parcel{Parcel: session.Parcel{Payloads: p.Payloads[:0]}}
	return n
}

// empty makes the loan ready for the next run.
func (l *loan) empty() {
	clear(l.messages)
	l.packets, l.places, l.messages = l.packets[:0], l.places[:0], l.messages[:0]
}
