package broker

import (
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// subscribe puts a subscription, its mountpoint in front, into the session and
// the router's table. most bounds the subscriptions of the session; byServer
// says that grants do not bind it. A code that failed says that nothing changed.
func (c *client) subscribe(sub mqtt.Subscription, most int, byServer bool) (had bool, code mqtt.ReasonCode) {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.gone {
		return false, mqtt.UnspecifiedError
	}
	if _, existed := c.sess.Subscription(sub.Filter); !existed && c.sess.SubscriptionCount() >= most {
		return false, mqtt.QuotaExceeded
	}
	if _, err := c.b.router.Subscribe(c, sub); err != nil {
		return false, mqtt.TopicFilterInvalid
	}
	c.grant(sub.Filter, byServer)
	return c.sess.Subscribe(sub), mqtt.ReasonCode(sub.QoS)
}

// unsubscribe takes a subscription, its mountpoint in front, out of both and
// reports whether there was one.
func (c *client) unsubscribe(filter string) (had bool) {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.b.router.Unsubscribe(c, filter)
	c.grant(filter, false)
	return c.sess.Unsubscribe(filter)
}

// grant says whether a filter is the server's own. changing is held.
func (c *client) grant(filter string, byServer bool) {
	var filters []string
	if old := c.byServer.Load(); old != nil {
		filters = *old
	}
	if slices.Contains(filters, filter) == byServer {
		return
	}
	if byServer {
		filters = append(slices.Clip(filters), filter)
	} else {
		filters = slices.DeleteFunc(slices.Clone(filters), func(f string) bool { return f == filter })
	}
	defer c.describe()
	if len(filters) == 0 {
		c.byServer.Store(nil)
		return
	}
	c.byServer.Store(&filters)
}

// granted reports whether the server has subscribed the client to a topic, its
// mountpoint in front.
func (c *client) granted(name string) bool {
	filters := c.byServer.Load()
	if filters == nil {
		return false
	}
	for _, f := range *filters {
		if sh, _, err := topic.ParseShared(f); err == nil && topic.Match(sh.Filter, name) {
			return true
		}
	}
	return false
}

// grants reports whether a subscription is one that the server made.
func (c *client) grants(filter string) bool {
	filters := c.byServer.Load()
	return filters != nil && slices.Contains(*filters, filter)
}
