package broker

import (
	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// noMemory reports whether a delivery is dropped because too much waits in all
// queues together: QoS 0 that would have to wait first, then what is for clients
// who are away, at last whatever would have to wait. A client that takes its
// messages as they come is always served; and what can wait on disk does so.
func (b *Broker) noMemory(cl *client, d *mqtt.Delivery) bool {
	pressure := b.queued.Pressure()
	if pressure == admission.Relaxed || d.QoS != mqtt.AtMostOnce && cl.sess.Spills() {
		return false
	}
	online := cl.Online()
	if waiting, _ := cl.sess.QueueLen(); waiting == 0 && online {
		return false
	}
	switch pressure {
	case admission.Tight:
		return d.QoS == mqtt.AtMostOnce
	case admission.Tighter:
		return d.QoS == mqtt.AtMostOnce || !online
	default:
		return true
	}
}
