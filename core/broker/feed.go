package broker

import (
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// feedAhead is how many retained messages of a client's subscriptions are
// looked up before their turn. A client that goes on subscribing and reads
// nothing makes the broker remember its filters then, and no more.
const feedAhead = 1 << 16

// feeding is a new subscription whose retained messages are still to be sent.
type feeding struct {
	sub      mqtt.Subscription
	messages []*mqtt.Message
	found    bool   // messages were looked up
	changes  uint64 // that had been made to what is retained by then
}

// feed holds the retained messages for new subscriptions, until the session's
// queue has room for them. The reader adds, the running writer takes; what is
// shared is guarded by the writer's mutex. There is none while its list is empty.
type feed struct {
	list    []*feeding
	waiting map[string]*feeding // of list, those not found; by filter
	ahead   int                 // messages found
}

// feedRetained queues the retained messages for a subscription that has just
// been made. It reports false if the connection takes no more. Called by the
// reader and by the server API.
func (w *writer) feedRetained(sub mqtt.Subscription) bool {
	f := &feeding{sub: sub}
	w.mu.Lock()
	eager := w.feed == nil || w.feed.ahead < feedAhead
	w.mu.Unlock()
	if eager {
		f.changes = w.c.b.retained.Changes()
		f.messages, f.found = w.c.client.retainedFor(sub), true
		if len(f.messages) == 0 {
			return true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return false
	}
	if w.feed == nil {
		w.feed = new(feed)
	}
	w.feed.ahead += len(f.messages)
	if !f.found {
		if same := w.feed.waiting[sub.Filter]; same != nil {
			same.sub = sub // they will be sent to this one
			return true
		}
		if w.feed.waiting == nil {
			w.feed.waiting = make(map[string]*feeding)
		}
		w.feed.waiting[sub.Filter] = f
	}
	w.feed.list = append(w.feed.list, f)
	return true
}

// nextFeeding returns the subscription whose turn it is, its messages found;
// nil if there is none, or if answers have to be written first: SUBACK comes
// before the messages, as clients expect.
func (w *writer) nextFeeding() *feeding {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.feed == nil || len(w.control)+len(w.held.answers) > 0 && !w.stopped {
		return nil
	}
	f := w.feed.list[0]
	if f.found {
		return f
	}
	delete(w.feed.waiting, f.sub.Filter)
	f.found = true
	w.mu.Unlock()
	f.changes = w.c.b.retained.Changes()
	messages := w.c.client.retainedFor(f.sub)
	w.mu.Lock()
	f.messages = messages
	w.feed.ahead += len(messages)
	return f
}

// took removes the first n messages of the subscription whose turn it is, and
// the subscription if no message is left.
func (w *writer) took(f *feeding, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feed.ahead -= n
	f.messages = f.messages[n:]
	if len(f.messages) > 0 {
		return
	}
	w.feed.list = w.feed.list[1:]
	if len(w.feed.list) == 0 {
		w.feed = nil
	}
}

// feedSome moves retained messages into the session's queue while that is
// empty, and reports whether it made any progress. Called by the running
// writer.
func (w *writer) feedSome(now time.Time) bool {
	sess := w.c.client.sess
	if messages, _ := sess.QueueLen(); messages > 0 {
		return false
	}
	f := w.nextFeeding()
	if f == nil {
		return false
	}
	if _, subscribed := sess.Subscription(f.sub.Filter); !subscribed {
		w.took(f, len(f.messages)) // [MQTT-3.10.4-2]
		return true
	}
	n, size := 0, 0
	limits := w.c.limits.Load()
	for n < len(f.messages) && n < min(writeBatch, limits.queue) {
		m := f.messages[n]
		if n > 0 && size+m.Size() > min(writeBufSize, limits.queueBytes) {
			break
		}
		n++
		if w.c.b.stillRetained(f, m, now) && w.c.client.mayReceive(m) {
			size += m.Size()
			w.c.b.enqueue(w.c.b.hookContext(), w.c.client, retainedDelivery(m, &f.sub), now)
		}
	}
	w.took(f, n)
	return true
}

// retainedFor looks up the retained messages that a subscription brings.
func (c *client) retainedFor(sub mqtt.Subscription) []*mqtt.Message {
	var found []*mqtt.Message
	collect := func(m *mqtt.Message) bool {
		if own, ok := strings.CutPrefix(m.Topic, c.mountpoint); !ok || c.mountpoint != "" && !c.matches(sub.Filter, own) {
			return true
		}
		if c.mayReceive(m) && !(sub.NoLocal && m.Publisher == c.id) {
			found = append(found, m)
		}
		return true
	}
	now := time.Now()
	c.b.retained.Match(sub.Filter, now, collect)
	c.b.sys.Match(sub.Filter, now, collect)
	return found
}

// stillRetained reports whether a message that was found is still the one of
// its topic. If it was replaced, its successor was routed to the subscription,
// and the older must not come after it. As long as nothing was changed, that is
// known without a search.
func (b *Broker) stillRetained(f *feeding, m *mqtt.Message, now time.Time) bool {
	if f.changes == b.retained.Changes() && !strings.HasPrefix(m.Topic, sysPrefix) {
		return !m.Expired(now)
	}
	current, ok := b.retainedMessage(m.Topic, now)
	return ok && current == m
}

func retainedDelivery(m *mqtt.Message, sub *mqtt.Subscription) mqtt.Delivery {
	d := mqtt.Delivery{Message: m, QoS: min(m.QoS, sub.QoS), Retain: true}
	if sub.ID != 0 {
		d.Via = &mqtt.Via{SubscriptionIDs: []uint32{sub.ID}}
	}
	return d
}

// keepFeed moves retained messages that were still to be sent into a session
// that outlives the connection, as far as its queue has room. No writer runs
// any more.
func (c *conn) keepFeed() {
	now := time.Now()
	messages, _ := c.client.sess.QueueLen()
	for room := c.limits.Load().queue - messages; room > 0; {
		f := c.w.nextFeeding()
		if f == nil {
			break
		}
		for _, m := range f.messages {
			if room > 0 && min(m.QoS, f.sub.QoS) > mqtt.AtMostOnce && c.b.stillRetained(f, m, now) {
				c.b.enqueue(c.b.hookContext(), c.client, retainedDelivery(m, &f.sub), now)
				room--
			}
		}
		c.w.took(f, len(f.messages))
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.feed = nil
}

// queueRetained moves the retained messages for a subscription into the queue of
// a session without connection, as far as it has room.
func (c *client) queueRetained(sub mqtt.Subscription) {
	now := time.Now()
	messages, _ := c.sess.QueueLen()
	room := c.b.limits().QueueMessages - messages
	for _, m := range c.retainedFor(sub) {
		if room <= 0 {
			return
		}
		if d := retainedDelivery(m, &sub); d.QoS > mqtt.AtMostOnce || c.b.limits().QueueQoS0Offline {
			c.b.enqueue(c.b.hookContext(), c, d, now)
			room--
		}
	}
}

// sendRetained queues the retained messages that a new subscription brings
// [MQTT-3.8.4-4], by its Retain Handling [MQTT-3.3.1-9] to [MQTT-3.3.1-11].
// Shared subscriptions bring none.
func (c *conn) sendRetained(a *asked) {
	if a.wantsRetained() {
		c.w.feedRetained(a.call.Subscription)
	}
}

func (a *asked) wantsRetained() bool {
	sub := &a.call.Subscription
	if sub.RetainHandling == mqtt.RetainDoNotSend || sub.RetainHandling == mqtt.RetainSendIfNew && a.had {
		return false
	}
	_, shared, _ := topic.ParseShared(sub.Filter)
	return !shared
}
