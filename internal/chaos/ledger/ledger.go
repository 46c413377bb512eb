// Package ledger keeps the books while things are broken on purpose: what
// publishers sent, what was acknowledged to them, what each session received,
// and afterwards what was lost, doubled or out of order.
package ledger

import (
	"fmt"
	"slices"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Ledger is the books of one run. Its methods may be called from many
// goroutines. Messages of a publisher are numbered from 1 without gaps.
type Ledger struct {
	mu         sync.Mutex // guards the fields below
	publishers map[string]*account
	sessions   map[string]*session
	acked      int
	faults     []string
	foreign    int

	run        int // of the broker, from 0
	vanishings []vanishing
	losses     []int // the runs that began without the sessions of the one before
}

// account is what one publisher sent.
type account struct {
	qos     []mqtt.QoS // by number - 1
	acked   []int      // the run in which it was, + 1; 0: it was not
	excused []bool     // it may be lost, for the store was damaged
	before  int        // messages sent when the last run ended
	redone  int        // so many may come again, for the store was damaged
}

// session is what one session received.
type session struct {
	qos      mqtt.QoS
	received map[string]*receipts
	owed     map[string]int // messages of a publisher up to this one are not owed
	present  int            // the last run that knew it
}

// vanishing is a session that was there in one run and is not in another.
type vanishing struct {
	name     string
	from, to int
}

type receipts struct {
	times    []uint8 // by number - 1
	highest  uint64  // that was received first
	disorder int
}

// New makes an empty ledger.
func New() *Ledger {
	return &Ledger{publishers: make(map[string]*account), sessions: make(map[string]*session)}
}

// Session begins a session that subscribes to everything with a QoS, as the broker
// has said. What was sent before is not owed to it.
func (l *Ledger) Session(name string, qos mqtt.QoS) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessions[name]
	if s == nil {
		s = &session{received: make(map[string]*receipts), present: l.run}
		l.sessions[name] = s
	}
	s.qos, s.owed = qos, make(map[string]int)
	for publisher, a := range l.publishers {
		s.owed[publisher] = len(a.qos)
	}
}

// Present notes that the broker knows a session. It was asked in a run, or a later
// one.
func (l *Ledger) Present(name string, run int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sessions[name]; s != nil {
		s.present = run
	}
}

// Killed ends a run of the broker, and the next one begins.
func (l *Ledger) Killed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run++
	for _, a := range l.publishers {
		a.before = len(a.qos)
	}
}

// Run is the run of the broker, from 0.
func (l *Ledger) Run() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run
}

// Damaged notes that what the broker wrote since a run began was damaged on
// purpose when the last one ended: what was acknowledged since may be lost, and
// what was sent before may come again.
func (l *Ledger) Damaged(since int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.damaged(since)
}

// Gone notes that the run that goes on began without the store, for it was
// damaged on purpose: nothing of before is owed, and no session need be there.
func (l *Ledger) Gone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.damaged(0)
	l.losses = append(l.losses, l.run)
}

func (l *Ledger) damaged(since int) {
	for _, a := range l.publishers {
		a.redone = a.before
		for i, run := range a.acked {
			if run > since && run <= l.run {
				a.excused[i] = true
			}
		}
	}
}

// Send numbers the next message of a publisher, which is about to be sent.
func (l *Ledger) Send(publisher string, qos mqtt.QoS) (number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.publishers[publisher]
	if a == nil {
		a = new(account)
		l.publishers[publisher] = a
	}
	a.qos, a.acked, a.excused = append(a.qos, qos), append(a.acked, 0), append(a.excused, false)
	return uint64(len(a.qos))
}

// Acked notes that the broker has taken a message: by PUBACK or PUBREC, with a
// code of success.
func (l *Ledger) Acked(publisher string, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.publishers[publisher]; a.acked[number-1] == 0 {
		a.acked[number-1] = l.run + 1
		l.acked++
	}
}

// Received notes that a session got a message, before it acknowledges it. A
// client that gets a QoS 2 message again under the same packet identifier
// knows that it has it, and says nothing here.
func (l *Ledger) Received(name, publisher string, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.publishers[publisher]
	if a == nil || number == 0 || number > uint64(len(a.qos)) {
		l.foreign++
		l.fault("%s received message %d of %q, which nobody sent", name, number, publisher)
		return
	}
	s := l.sessions[name]
	r := s.received[publisher]
	if r == nil {
		r = new(receipts)
		s.received[publisher] = r
	}
	if missing := int(number) - len(r.times); missing > 0 { //nolint:gosec // as many as were sent
		r.times = append(r.times, make([]uint8, missing)...)
	}
	if r.times[number-1] < 255 {
		r.times[number-1]++
	}
	if r.times[number-1] > 1 {
		return // order is that of the first time
	}
	if number < r.highest {
		r.disorder++
		l.fault("%s received message %d of %s for the first time after %d", name, number, publisher, r.highest)
	}
	r.highest = max(r.highest, number)
}

// Foreign notes that a session received what nobody can have sent.
func (l *Ledger) Foreign(name string, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.foreign++
	l.fault("%s received %q", name, payload)
}

// Vanished notes that the broker no longer knows a session that has not ended. It
// was asked in a run, or a later one.
func (l *Ledger) Vanished(name string, run int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := vanishing{name: name, to: l.run}
	if s := l.sessions[name]; s != nil {
		v.from, s.present = s.present, run
	}
	l.vanishings = append(l.vanishings, v)
}

// excusable reports whether the store was gone between two runs.
func (l *Ledger) excusable(v vanishing) bool {
	return slices.ContainsFunc(l.losses, func(run int) bool { return v.from < run && run <= v.to })
}

// AckedMessages is how many messages were acknowledged so far.
func (l *Ledger) AckedMessages() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Missing is how many deliveries of acknowledged messages have not come yet.
func (l *Ledger) Missing() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.eachLost(func(string, string, uint64) { n++ })
	return n
}

// Verdict is what the books say. Everything but Acked ought to be zero.
type Verdict struct {
	Acked    int // messages
	Lost     int // deliveries of acknowledged messages that never came
	Doubled  int // deliveries of QoS 2 that came more than once
	Disorder int // deliveries that overtook an earlier message of their publisher
	Foreign  int // deliveries of what nobody sent
	Vanished int // sessions that the broker forgot
	// Faults describes the first of them.
	Faults []string
}

// Good reports whether nothing is wrong.
func (v *Verdict) Good() bool {
	return v.Lost == 0 && v.Doubled == 0 && v.Disorder == 0 && v.Foreign == 0 && v.Vanished == 0
}

// Verdict closes the books.
func (l *Ledger) Verdict() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := Verdict{Acked: l.acked, Foreign: l.foreign}
	for _, gone := range l.vanishings {
		if !l.excusable(gone) {
			v.Vanished++
			l.fault("the session of %s is gone", gone.name)
		}
	}
	l.eachLost(func(name, publisher string, number uint64) {
		v.Lost++
		l.fault("%s never received message %d of %s, which was acknowledged", name, number, publisher)
	})
	for name, s := range l.sessions {
		for publisher, r := range s.received {
			v.Disorder += r.disorder
			for i, n := range r.times {
				if n > 1 && i >= l.publishers[publisher].redone && s.qos == mqtt.ExactlyOnce && l.publishers[publisher].qos[i] == mqtt.ExactlyOnce {
					v.Doubled++
					l.fault("%s received message %d of %s %d times", name, i+1, publisher, n)
				}
			}
		}
	}
	v.Faults = slices.Clone(l.faults)
	return v
}

// eachLost calls f for every delivery that is owed. The caller holds mu.
func (l *Ledger) eachLost(f func(name, publisher string, number uint64)) {
	for name, s := range l.sessions {
		for publisher, a := range l.publishers {
			r := s.received[publisher]
			for i, acked := range a.acked {
				if acked > 0 && !a.excused[i] && i >= s.owed[publisher] && (r == nil || i >= len(r.times) || r.times[i] == 0) {
					f(name, publisher, uint64(i+1)) //nolint:gosec // an index
				}
			}
		}
	}
}

// fault describes one of the first faults. The caller holds mu.
func (l *Ledger) fault(format string, args ...any) {
	if len(l.faults) < 20 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}
