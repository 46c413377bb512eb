package differential

import (
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// class is what kind of client a slot has.
type class uint8

const (
	wide   class = iota // any subscriptions
	narrow              // a small receive maximum; its subscriptions don't overlap
	share               // shared subscriptions only; its session ends with it
)

// casts are the slots of every dialogue.
var casts = []struct {
	version mqtt.Version
	class   class
}{
	{mqtt.V5, wide},
	{mqtt.V5, wide},
	{mqtt.V5, narrow},
	{mqtt.V311, wide},
	{mqtt.V311, wide},
	{mqtt.V31, wide},
	{mqtt.V5, share},
	{mqtt.V5, share},
	{mqtt.V311, share},
}

// model is what the generator knows of a slot.
type model struct {
	id      string
	version mqtt.Version
	class   class

	online  bool
	connect *packet.Connect // the last one
	hold    hold
	expiry  uint32 // of the session, seconds; neverExpires for MQTT 3
	subs    map[string]mqtt.Subscription
	lastID  uint16

	will    *packet.Will // of the connection
	pending bool         // will waits for its delay, or for the session's end

	alias map[uint16]string // that the client has set
}

const neverExpires = 0xFFFFFFFF

// mayTakeOver reports whether both brokers do the same with the will of a
// connection that is taken over: see takeover-will.
func (m *model) mayTakeOver(clean bool) bool {
	if m.will == nil {
		return true
	}
	ends := m.expiry == 0 || clean
	return ends == (m.will.Delay == 0)
}

// mayBreak reports whether both brokers do the same with the will of a
// connection that breaks: see will-at-session-end.
func (m *model) mayBreak() bool { return m.will == nil || m.will.Delay == 0 || m.expiry != 0 }

// mayHalve reports whether a QoS 2 exchange of the client can be interrupted:
// its session has to go on. Ours passes the message on at PUBLISH, mosquitto at
// PUBREL, so nothing may come back to the client itself.
func (m *model) mayHalve() bool {
	return m.class != share && m.expiry != 0 && len(m.subs) == 0 && m.will == nil && m.hold == holdNothing
}

func (m *model) nextID() uint16 {
	m.lastID++
	return m.lastID
}
