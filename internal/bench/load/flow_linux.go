package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Flow describes traffic from publishers to subscribers. Each publisher has a
// topic of its own. With as many subscribers as publishers each hears one of
// them; otherwise each hears all.
type Flow struct {
	Publishers  int
	Subscribers int
	QoS         byte
	// Window is how many undelivered messages a publisher may have. Not with
	// Rate.
	Window int
	// Burst is how many messages go into one write; zero means one.
	Burst int
	// Rate is how many messages are sent in a second, by all publishers
	// together, at times fixed beforehand. Zero means as many as Window allows.
	Rate int
	// Payload is the size in bytes, at least [MinPayload].
	Payload int
	// Topic names the topics.
	Topic func(publisher int) string
}

// unacknowledged bounds the packets with QoS 1 and 2 that a publisher has out.
const unacknowledged = 100

// Result is what a run measured. Times are from scheduled sending to arrival.
type Result struct {
	Seconds    float64
	Delivered  uint64 // within Seconds
	Sent       uint64 // in the whole run, as all that follow
	Lost       uint64
	Duplicates uint64
	Disorder   uint64
	Latencies  []time.Duration // sorted; with Rate only
}

// flow is a Flow under way.
type flow struct {
	Flow
	loop  *Loop
	start time.Time
	pubs  []*publisher
	subs  []*subscriber
	ready []*publisher // may be able to send

	sending   bool
	delivered uint64
	due       time.Duration // with Rate: when the next message goes
	turn      int           // and whose it is
	timing    bool
	latencies []time.Duration
	fan       uint64 // receivers of each message
}

type publisher struct {
	*Client
	frame     []byte // a PUBLISH with the right sizes
	idAt      int
	payloadAt int
	number    uint32
	sent      uint64
	delivered uint64
	id        uint16
	unacked   int
	listed    bool
}

type subscriber struct {
	*Client
	first  int     // the first publisher that it hears
	checks []Check // of those
}

// Run sets the traffic up, lets it flow for warm, measures for the time given,
// and waits until all has arrived. mark is called at both ends of the
// measurement.
func (f Flow) Run(l *Loop, addr netip.AddrPort, warm, measure time.Duration, mark func()) (Result, error) {
	t := &flow{Flow: f, loop: l, start: time.Now()}
	if err := t.connect(addr); err != nil {
		return Result{}, err
	}
	t.sending = true
	t.ready = slices.Clone(t.pubs)
	t.start = time.Now()
	if err := t.until(warm); err != nil {
		return Result{}, err
	}
	mark()
	before, began := t.delivered, time.Now()
	t.timing = f.Rate > 0
	if err := t.until(time.Since(t.start) + measure); err != nil {
		return Result{}, err
	}
	r := Result{Seconds: time.Since(began).Seconds(), Delivered: t.delivered - before}
	mark()
	t.sending, t.timing = false, false
	const quiet = 3 * time.Second
	if err := l.Until(quiet, t.drained); err != nil && !errors.Is(err, ErrIdle) {
		return Result{}, err
	}
	t.count(&r)
	return r, nil
}

func (t *flow) connect(addr netip.AddrPort) error {
	hello := make([][]byte, t.Subscribers)
	for i := range hello {
		hello[i] = Connect(fmt.Sprintf("sub%05d", i), true, "", "")
	}
	t.fan = 1
	paired := t.Subscribers == t.Publishers
	if !paired {
		t.fan = uint64(t.Subscribers)
	}
	clients, err := Dial(t.loop, addr, hello, func(c *Client, p Packet) { t.subs[c.Index].receive(t, p) })
	if err != nil {
		return err
	}
	for i, c := range clients {
		s := &subscriber{Client: c, checks: make([]Check, t.Publishers)}
		if paired {
			s.first, s.checks = i, s.checks[:1]
		}
		t.subs = append(t.subs, s)
	}
	err = SubscribeAll(t.loop, clients, t.QoS, func(i int) []string {
		if !paired && t.Publishers > 1 {
			return []string{"bench/#"}
		}
		return []string{t.Topic(t.subs[i].first)}
	})
	if err != nil {
		return err
	}
	hello = hello[:0]
	for i := range t.Publishers {
		hello = append(hello, Connect(fmt.Sprintf("pub%05d", i), true, "", ""))
	}
	clients, err = Dial(t.loop, addr, hello, func(c *Client, p Packet) { t.pubs[c.Index].receive(t, p) })
	for i, c := range clients {
		t.pubs = append(t.pubs, newPublisher(t, i, c))
	}
	return err
}

func newPublisher(t *flow, i int, c *Client) *publisher {
	p := &publisher{Client: c, number: uint32(i)}
	p.frame = Publish(t.Topic(i), t.QoS, false, 0, make([]byte, max(t.Payload, MinPayload)))
	p.payloadAt = len(p.frame) - max(t.Payload, MinPayload)
	p.idAt = p.payloadAt - 2
	return p
}

// until lets traffic flow until a time since the start.
func (t *flow) until(end time.Duration) error {
	const stalled = 10 * time.Second
	return t.loop.Until(stalled, func() bool {
		t.step()
		return time.Since(t.start) >= end
	})
}

// step sends all that may be sent now.
func (t *flow) step() {
	if !t.sending {
		return
	}
	if t.Rate > 0 {
		t.keepTime()
		return
	}
	for _, p := range t.ready {
		p.listed = false
		t.pump(p)
	}
	t.ready = t.ready[:0]
}

// keepTime sends what is due.
func (t *flow) keepTime() {
	for {
		now := time.Since(t.start)
		if now < t.due {
			t.loop.wakeIn(t.due - now)
			return
		}
		p := t.pubs[t.turn]
		t.turn = (t.turn + 1) % len(t.pubs)
		p.put(t, t.due)
		p.Flush()
		t.due += time.Second / time.Duration(t.Rate)
	}
}

func (t *flow) pump(p *publisher) {
	burst := max(t.Burst, 1)
	for n := 0; p.may(t); {
		p.put(t, time.Since(t.start))
		if n++; n == burst {
			p.Flush()
			n = 0
		}
	}
	p.Flush()
}

func (p *publisher) may(t *flow) bool {
	return p.sent-p.delivered/t.fan < uint64(t.Window) && (t.QoS == 0 || p.unacked < unacknowledged)
}

// put appends the next message.
func (p *publisher) put(t *flow, at time.Duration) {
	binary.BigEndian.PutUint32(p.frame[p.payloadAt:], p.number)
	SetNumber(p.frame[p.payloadAt:], p.sent)
	binary.BigEndian.PutUint64(p.frame[p.payloadAt+12:], uint64(at))
	if t.QoS > 0 {
		if p.id++; p.id == 0 {
			p.id = 1
		}
		binary.BigEndian.PutUint16(p.frame[p.idAt:], p.id)
		p.unacked++
	}
	p.sent++
	p.Append(p.frame...)
}

func (p *publisher) receive(t *flow, got Packet) {
	switch got.Type {
	case puback, pubcomp:
		p.unacked--
		t.list(p)
	case pubrec:
		id := got.ID()
		p.Append(pubrel<<4|2, 2, byte(id>>8), byte(id))
	default:
		t.loop.fail(fmt.Errorf("a publisher received packet type %d", got.Type))
	}
}

// list notes that a publisher may be able to send.
func (t *flow) list(p *publisher) {
	if !p.listed && t.sending {
		p.listed = true
		t.ready = append(t.ready, p)
	}
}

func (s *subscriber) receive(t *flow, got Packet) {
	payload := s.Take(got)
	switch {
	case payload == nil: // no message
	case len(payload) < MinPayload:
		t.loop.fail(errMalformed)
	default:
		t.arrived(s, payload)
	}
}

func (t *flow) arrived(s *subscriber, payload []byte) {
	i := int(binary.BigEndian.Uint32(payload)) - s.first
	if i < 0 || i >= len(s.checks) {
		t.loop.fail(fmt.Errorf("a subscriber received what publisher %d sent to others", i+s.first))
		return
	}
	s.checks[i].Saw(Number(payload))
	t.delivered++
	p := t.pubs[i+s.first]
	p.delivered++
	t.list(p)
	if t.timing {
		t.latencies = append(t.latencies, time.Since(t.start)-time.Duration(binary.BigEndian.Uint64(payload[12:])))
	}
}

// drained reports whether everything has arrived and is acknowledged.
func (t *flow) drained() bool {
	for _, p := range t.pubs {
		if p.unacked > 0 || p.delivered < p.sent*t.fan {
			return false
		}
	}
	return true
}

func (t *flow) count(r *Result) {
	for _, p := range t.pubs {
		r.Sent += p.sent
	}
	for _, s := range t.subs {
		for i := range s.checks {
			c := &s.checks[i]
			r.Lost += c.Lost(t.pubs[s.first+i].sent)
			r.Duplicates += c.Duplicates
			r.Disorder += c.Disorder
		}
	}
	slices.Sort(t.latencies)
	r.Latencies = t.latencies
}
