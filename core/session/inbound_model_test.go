package session_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// packet is one of a publisher's exchange, in either direction.
type packet struct {
	kind   rune // 'p' PUBLISH, 'l' PUBREL; 'a' PUBACK, 'r' PUBREC, 'c' PUBCOMP
	id     uint16
	number int
	qos    mqtt.QoS
	code   mqtt.ReasonCode
}

// unfinished is a message that a publisher keeps until its last
// acknowledgement.
type unfinished struct {
	packet
	recorded bool // PUBREC came
}

// publisher is a client that publishes, the connection, and the broker's
// reader, which handles what arrives.
type publisher struct {
	t *rapid.T
	s *session.Session

	version        mqtt.Version
	receiveMaximum int
	online         bool
	quota          int
	unfinished     []unfinished
	again          []packet // to be sent again, quota permitting
	toSession      []packet
	toClient       []packet

	published map[int]mqtt.QoS
	refused   map[int]bool // as the broker decided
	gave      map[int]mqtt.ReasonCode
	log       []int // what was routed
	last      int
	lastID    uint16
}

const modelIDs = 20

func newPublisher(t *rapid.T) *publisher {
	p := &publisher{
		t: t, version: mqtt.V5, receiveMaximum: rapid.IntRange(1, 5).Draw(t, "receive maximum"),
		published: map[int]mqtt.QoS{}, refused: map[int]bool{}, gave: map[int]mqtt.ReasonCode{},
	}
	p.s = session.New("client", session.Limits{ReceiveMaximum: uint16(p.receiveMaximum)})
	return p
}

func (p *publisher) attach(t *rapid.T) {
	if p.online {
		return
	}
	p.version = rapid.SampledFrom([]mqtt.Version{mqtt.V311, mqtt.V5}).Draw(t, "version")
	p.connect()
}

func (p *publisher) connect() {
	p.online, p.quota = true, p.receiveMaximum
	p.s.Attach(session.Attachment{Version: p.version})
	for _, u := range p.unfinished {
		m := u.packet
		if u.recorded {
			m.kind = 'l'
		}
		p.again = append(p.again, m)
	}
	p.resume()
}

// resume sends again what the client has to, as far as it may.
func (p *publisher) resume() {
	for len(p.again) > 0 && (p.again[0].kind == 'l' || p.mayPublish()) {
		if p.again[0].kind == 'p' {
			p.quota--
		}
		p.toSession = append(p.toSession, p.again[0])
		p.again = p.again[1:]
	}
}

func (p *publisher) mayPublish() bool { return p.quota > 0 || p.version != mqtt.V5 }

func (p *publisher) detach(t *rapid.T) {
	if !p.online {
		return
	}
	p.disconnect()
}

func (p *publisher) disconnect() {
	p.online = false
	p.again, p.toSession, p.toClient = nil, nil, nil
	p.s.Detach()
}

// publish sends a new message, if the client may.
func (p *publisher) publish(t *rapid.T) {
	if !p.online || !p.mayPublish() || len(p.again) > 0 || len(p.unfinished) == modelIDs {
		return
	}
	p.last++
	m := packet{kind: 'p', number: p.last, qos: mqtt.QoS(rapid.IntRange(1, 2).Draw(t, "qos"))}
	for m.id == 0 {
		p.lastID = p.lastID%modelIDs + 1
		if !slices.ContainsFunc(p.unfinished, func(u unfinished) bool { return u.id == p.lastID }) {
			m.id = p.lastID
		}
	}
	p.quota--
	p.published[m.number] = m.qos
	p.unfinished = append(p.unfinished, unfinished{packet: m})
	p.toSession = append(p.toSession, m)
}

// handle is the broker's reader taking one packet. Now and then it cannot
// decide about a message and gives the connection up.
func (p *publisher) handle(t *rapid.T) {
	if len(p.toSession) == 0 {
		return
	}
	verdict := rapid.SampledFrom([]mqtt.ReasonCode{
		mqtt.Success, mqtt.Success, mqtt.NoMatchingSubscribers, mqtt.NotAuthorized,
	}).Draw(t, "verdict")
	undecided := rapid.IntRange(0, 9).Draw(t, "undecided") == 0
	p.handleOne(verdict, undecided)
}

func (p *publisher) handleOne(verdict mqtt.ReasonCode, undecided bool) {
	m := p.toSession[0]
	p.toSession = p.toSession[1:]
	if m.kind == 'l' {
		p.s.Release(m.id)
		p.toClient = append(p.toClient, packet{kind: 'c', id: m.id})
		return
	}
	receipt, code := p.s.Receive(m.id, m.qos)
	if code != mqtt.Success {
		p.t.Fatalf("a legal PUBLISH got %v", code)
	}
	answer := packet{kind: 'a', id: m.id, code: verdict}
	if m.qos == 2 {
		answer.kind = 'r'
	}
	switch {
	case receipt == session.Duplicate:
		answer.code = p.s.ReceivedCode(m.id)
		if answer.code != p.gave[m.number] {
			p.t.Fatalf("answered %v again as %v", p.gave[m.number], answer.code)
		}
	case undecided:
		p.disconnect()
		return
	default:
		p.decide(m, verdict)
	}
	p.toClient = append(p.toClient, answer)
}

func (p *publisher) decide(m packet, verdict mqtt.ReasonCode) {
	if verdict.Failed() {
		p.refused[m.number] = true
	} else {
		p.log = append(p.log, m.number)
	}
	p.gave[m.number] = verdict
	p.s.Acknowledge(m.id, m.qos, verdict)
}

// read is the client taking one acknowledgement.
func (p *publisher) read(t *rapid.T) {
	if len(p.toClient) == 0 {
		return
	}
	p.readOne()
}

func (p *publisher) readOne() {
	a := p.toClient[0]
	p.toClient = p.toClient[1:]
	i := slices.IndexFunc(p.unfinished, func(u unfinished) bool { return u.id == a.id })
	if i < 0 {
		p.t.Fatalf("%c of %d, which is finished", a.kind, a.id)
	}
	if failed := a.code.Failed() && p.version == mqtt.V5; a.kind == 'r' && !failed {
		p.unfinished[i].recorded = true
		p.toSession = append(p.toSession, packet{kind: 'l', id: a.id})
		return
	}
	p.quota = min(p.quota+1, p.receiveMaximum)
	p.unfinished = slices.Delete(p.unfinished, i, i+1)
	p.resume()
}

// routed checks what reached the subscribers: QoS 1 at least once, QoS 2
// exactly once, what was refused of QoS 2 never, and in order.
func (p *publisher) routed() {
	count := map[int]int{}
	for _, number := range p.log {
		count[number]++
	}
	for number, q := range p.published {
		n := count[number]
		if n == 0 && !p.refused[number] || q == 2 && n > 1 {
			p.t.Fatalf("message %d of QoS %d routed %d times, refused %v", number, q, n, p.refused[number])
		}
	}
}

// inboundModel lets a publisher and its connection do anything legal.
func inboundModel(t *rapid.T) {
	p := newPublisher(t)
	t.Repeat(map[string]func(*rapid.T){
		"attach":        p.attach,
		"detach":        p.detach,
		"publish":       p.publish,
		"publish again": p.publish,
		"handle":        p.handle,
		"handle again":  p.handle,
		"read":          p.read,
		"read again":    p.read,
	})
	if !p.online {
		p.connect()
	}
	for len(p.toSession)+len(p.toClient) > 0 {
		if len(p.toSession) > 0 {
			p.handleOne(mqtt.Success, false)
		} else {
			p.readOne()
		}
	}
	if len(p.unfinished) > 0 {
		t.Fatalf("unfinished at the end: %+v", p.unfinished)
	}
	p.routed()
}

func TestInboundModel(t *testing.T) { rapid.Check(t, inboundModel) }

func FuzzInboundModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(inboundModel)) }
