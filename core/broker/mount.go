package broker

import (
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// The router knows topics and filters with their mountpoints in front. To it
// the "#" of a client is "mount/#", which matches more than "#" does: the topic
// "mount" itself, and the client's topics that begin with '$'.

// within leaves the targets that are meant by filters as their clients know
// them [MQTT-4.7.2-1].
func within(targets []router.Target) []router.Target {
	n := 0
	for i := range targets {
		cl := targets[i].Subscriber.(*client)
		if cl.mountpoint != "" && !cl.hears(&targets[i].Delivery) {
			continue
		}
		if n < i {
			targets[n] = targets[i]
		}
		n++
	}
	clear(targets[n:])
	return targets[:n]
}

// hears reports whether a delivery is for a client with a mountpoint. One that
// only some of the subscriptions behind it are for is changed accordingly.
func (c *client) hears(d *mqtt.Delivery) bool {
	own, ok := strings.CutPrefix(d.Message.Topic, c.mountpoint)
	switch {
	case !ok || own == "":
		return false
	case own[0] != '$':
		return true
	case d.Group() != "":
		_, filter, _ := strings.Cut(d.Group(), "/")
		return c.matches(filter, own)
	default:
		return c.reconsider(d, own)
	}
}

// matches compares a plain filter, its mountpoint in front, with a topic as the
// client knows it.
func (c *client) matches(filter, own string) bool {
	filter, ok := strings.CutPrefix(filter, c.mountpoint)
	return ok && own != "" && topic.Match(filter, own)
}

// reconsider makes a delivery anew, from the subscriptions that match, and
// reports whether there is any.
func (c *client) reconsider(d *mqtt.Delivery, own string) (left bool) {
	m := d.Message
	var qos mqtt.QoS
	var ids []uint32
	d.Retain, d.Via = false, nil
	for _, sub := range c.sess.Subscriptions() {
		if !c.matches(sub.Filter, own) || sub.NoLocal && m.Publisher == c.id {
			continue
		}
		left = true
		qos = max(qos, sub.QoS)
		d.Retain = d.Retain || m.Retain && sub.RetainAsPublished
		if sub.ID != 0 {
			ids = append(ids, sub.ID)
		}
	}
	d.QoS = min(m.QoS, qos)
	if ids != nil {
		d.Via = &mqtt.Via{SubscriptionIDs: ids}
	}
	return left
}
