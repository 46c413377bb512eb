package differential

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// avoided is a difference after which the two brokers hold different things.
// The generator draws no step that leads to it, so it is shown by itself.
type avoided struct {
	name  string
	steps []*step
	want  []string // the lines of the comparison after the last step
}

// The clients of these dialogues.
const (
	first  = 0
	second = 1
)

func connectStep(slot int, change func(*packet.Connect)) *step {
	p := plainConnect([]string{"first", "second"}[slot])
	if change != nil {
		change(p)
	}
	return &step{op: opConnect, slot: slot, connect: p}
}

func resume(p *packet.Connect) {
	p.CleanStart = false
	p.SessionExpiry, p.HasSessionExpiry = 1000, true
}

func subscribeStep(slot int, id uint16, sub mqtt.Subscription) *step {
	p := &packet.Subscribe{ID: id, Subscriptions: []mqtt.Subscription{sub}}
	return &step{op: opRequest, slot: slot, packets: []packet.Packet{p}}
}

func publishStep(slot int, ms ...mqtt.Message) *step {
	s := &step{op: opPublish, slot: slot}
	for i, m := range ms {
		p := &packet.Publish{Message: m}
		if m.QoS > 0 {
			p.ID = uint16(100 + i)
		}
		s.packets = append(s.packets, p)
	}
	return s
}

func message(topic, payload string, q mqtt.QoS) mqtt.Message {
	return mqtt.Message{Topic: topic, Payload: []byte(payload), QoS: q}
}

var allAvoided = []avoided{
	{
		name: "takeover-will",
		steps: []*step{
			connectStep(first, func(p *packet.Connect) {
				resume(p)
				p.Will = &packet.Will{Topic: "will/0", Payload: []byte("gone")}
			}),
			{op: opConnect, slot: first, connect: connectStep(first, resume).connect, will: "gone"},
		},
		want: []string{`ours only:      DISCONNECT codes=8e`, `ours only:      PUBLISH will/0 "gone" qos=0 retain=false dup=false`},
	},
	{
		name: "will-at-session-end",
		steps: []*step{
			connectStep(first, func(p *packet.Connect) {
				p.Will = &packet.Will{Topic: "will/0", Payload: []byte("gone"), Delay: 1000}
			}),
			{op: opDrop, slot: first, will: "gone"},
		},
		want: []string{`ours only:      PUBLISH will/0 "gone" qos=0 retain=false dup=false`},
	},
	{
		name: "resubscribe-options",
		steps: []*step{
			connectStep(first, nil),
			subscribeStep(first, 1, mqtt.Subscription{Filter: "a"}),
			subscribeStep(first, 2, mqtt.Subscription{Filter: "a", RetainAsPublished: true}),
			publishStep(first, mqtt.Message{Topic: "a", Payload: []byte("m"), Retain: true}),
		},
		want: []string{
			`mosquitto only: PUBLISH a "m" qos=0 retain=false dup=false`,
			`ours only:      PUBLISH a "m" qos=0 retain=true dup=false`,
		},
	},
	{
		name: "too-large-quota",
		steps: []*step{
			connectStep(first, func(p *packet.Connect) { p.ReceiveMaximum, p.MaximumPacketSize = 1, 250 }),
			connectStep(second, nil),
			subscribeStep(first, 1, mqtt.Subscription{Filter: "a", QoS: 2}),
			publishStep(second, message("a", strings.Repeat(".", 300), 2)),
			publishStep(second, message("a", "m", 2)),
		},
		want: []string{`ours only:      PUBREL codes=00 of "m"`, `ours only:      PUBLISH a "m" qos=2 retain=false dup=false`},
	},
	{
		name: "share-offline",
		steps: []*step{
			connectStep(first, resume),
			connectStep(second, nil),
			subscribeStep(first, 1, mqtt.Subscription{Filter: "$share/g/s", QoS: 1}),
			subscribeStep(second, 1, mqtt.Subscription{Filter: "$share/g/s", QoS: 1}),
			{op: opDrop, slot: first},
			publishStep(second, message("s", "m", 1), message("s", "n", 1)),
		},
		want: []string{`ours only:      PUBLISH s "m" qos=1 retain=false dup=false`},
	},
}

// TestAvoided shows the differences that the generator avoids. When one is
// there no more, the generator need not avoid it any longer.
func TestAvoided(t *testing.T) {
	theirs := program.Mosquitto(t, mosquittoConfig)
	ours := program.Gatehouse(t, program.Options{Config: settings})
	for _, a := range allAvoided {
		t.Run(a.name, func(t *testing.T) {
			e := &episode{t: t, late: make(late), met: make(map[string]int)}
			defer func() {
				for _, w := range e.worlds {
					w.close()
				}
			}()
			for _, b := range []*program.Broker{theirs, ours} {
				w, err := newWorld(b.Addr, b.Addr, 2)
				if err != nil {
					t.Fatal(err)
				}
				e.worlds = append(e.worlds, w)
			}
			a.show(t, e)
		})
	}
}

func (a *avoided) show(t *testing.T, e *episode) {
	t.Helper()
	var got []string
	for i, s := range a.steps {
		seen, err := e.do(s)
		if err != nil {
			t.Fatal(err)
		}
		for j := range seen[0] {
			if lines, _ := compare(seen[0][j], seen[1][j], false); i == len(a.steps)-1 {
				got = append(got, lines...)
			}
		}
	}
	if !slices.Equal(got, a.want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(a.want, "\n"))
	}
}
