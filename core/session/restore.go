package session

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Stored is a message of a session as a store gives it back.
type Stored struct {
	Delivery mqtt.Delivery
	Sequence uint64
	ID       uint16 // of a message that may have been sent, if it is known; else 0
	Released bool   // its PUBREC came
}

// State is all that a store has kept of a session.
type State struct {
	Number        uint64
	Profile       Profile
	Subscriptions []mqtt.Subscription
	Messages      []Stored // by Sequence, ascending: those that may have been sent, and some of the rest
	Sent          uint64   // what is at this place and before may have been sent
	Totals        Totals   // of all messages, those included that are not in Messages
	Last          uint64   // the place of the last message
	Received      []uint16 // identifiers of QoS 2 that the client has not released
}

// Restore makes a session of what a store has kept; l is told of all further
// changes. What may have been sent is in flight, to be sent again when the client
// is back; the rest waits.
func Restore(st *State, lim Limits, l *Log) *Session {
	s := New(st.Profile.ClientID, lim)
	s.kept = &kept{log: l, number: st.Number, durability: st.Profile.Durability}
	for _, sub := range st.Subscriptions {
		s.filters.set(sub)
	}
	for _, id := range st.Received {
		s.inbound.put(id, receipt{answered: true, kept: true})
	}
	s.kept.totals = st.Totals
	sent := st.Sent
	for i := range st.Messages {
		if m := &st.Messages[i]; m.ID != 0 {
			sent = max(sent, m.Sequence)
		}
	}
	n := 0
	for n < len(st.Messages) && st.Messages[n].Sequence <= sent {
		n++
	}
	s.flight.restore(st.Messages[:n])
	s.sequence = sent
	for i := range st.Messages[n:] {
		m := &st.Messages[n+i]
		s.queue.push(item{Delivery: m.Delivery, sequence: m.Sequence})
		if at, expires := sendBy(m.Delivery.Message); expires {
			s.queue.expires(at)
		}
		s.sequence = m.Sequence
	}
	s.restoreRest(st)
	s.count()
	return s
}

// restoreRest leaves on the disk what the state does not have.
func (s *Session) restoreRest(st *State) {
	if st.Last <= s.sequence {
		return
	}
	var here Totals
	for i := range st.Messages {
		it := st.Messages[i].item()
		here.Add(&it.Delivery)
	}
	s.kept.spill = &spill{disk: gap{first: s.sequence + 1, last: st.Last, Totals: st.Totals.without(&here)}}
	s.sequence = st.Last
}

func (m *Stored) item() item { return item{Delivery: m.Delivery, sequence: m.Sequence} }

// restore puts messages in flight that were so before, with the identifiers that
// are known; the others get new ones.
func (f *flight) restore(list []Stored) {
	if len(list) == 0 {
		return
	}
	f.table = tableFor(list)
	for i := range list {
		if id := list[i].ID; id != 0 {
			f.table.place(id).id = id // taken
			f.lastID = id
		}
	}
	for i := range list {
		m := &list[i]
		it := item{Delivery: m.Delivery, sequence: m.Sequence}
		if m.ID == 0 {
			f.add(it)
			continue
		}
		p := f.table.place(m.ID)
		*p = flying{item: it, id: m.ID, released: m.Released}
		f.link(f.chainOf(p), p)
		f.count++
	}
}

// tableFor returns a table with a place for every message, none of them shared.
func tableFor(list []Stored) *table {
	length := 1 << minTableBits
	for length < 1<<maxTableBits && length*3 < (len(list)+1)*4 {
		length *= 2
	}
	for ; length < 1<<maxTableBits; length *= 2 {
		taken := make(map[uint16]bool, len(list))
		distinct := true
		for i := range list {
			if list[i].ID == 0 {
				continue
			}
			at := list[i].ID & uint16(length-1) //nolint:gosec // at most 65,535
			distinct = distinct && !taken[at]
			taken[at] = true
		}
		if distinct {
			break
		}
	}
	return newTable(length)
}
