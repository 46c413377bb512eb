package broker

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// willOf is the will of a CONNECT under the topic that the broker knows.
func willOf(w *packet.Will, clientID, mountpoint string) *hook.Will {
	return &hook.Will{
		Delay: seconds(w.Delay),
		Message: &mqtt.Message{
			Topic: mountpoint + w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain,
			Properties: w.Properties, Publisher: clientID, Origin: mqtt.FromWill, Created: time.Now(),
		},
	}
}

// checkWill holds the will against what the validators decided, and refuses
// the client if it may not leave it [MQTT-3.2.2-12].
func (c *conn) checkWill(p *packet.Connect, adm *hook.Admission) *hook.Admission {
	if p.Will.QoS > least(c.b.limits().MaxQoS, adm.Limits.MaximumQoS) {
		return &hook.Admission{Code: mqtt.QoSNotSupported, Reason: "the will's QoS is too high"}
	}
	rights := hook.NewRights(adm.Grants, p.ClientID, adm.Username)
	if !rights.MayPublish(p.Will.Topic, p.Will.QoS, p.Will.Retain) {
		return &hook.Admission{Code: mqtt.NotAuthorized, Reason: "the will's topic is not granted"}
	}
	return adm
}

// keepWill replaces the will; nil removes it.
func (c *client) keepWill(w *hook.Will) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.will = w
}

// denyWill removes the will of a client that may not publish any more.
func (c *client) denyWill() {
	c.mu.Lock()
	w := c.will
	c.will = nil
	c.mu.Unlock()
	if w != nil {
		c.describe()
		c.b.dropped(c, w.Message, hook.CauseNotAuthorized)
	}
}

// publishWill publishes a client's will through the hooks.
func (b *Broker) publishWill(c *client, w *hook.Will) {
	m := w.Message.Clone()
	m.Created = time.Now()
	if _, _, v := b.publishInternal(c, m); v.Action == hook.Pass && b.hooks.Observes(hook.WillSent) {
		b.emit(c, &hook.Event{Kind: hook.WillSent, Message: m})
	}
}
