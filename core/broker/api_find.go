package broker

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Find is List for the clients that match, whose status match may look at and
// not change. It is called for each candidate, from the caller's goroutine.
func (a Clients) Find(after string, limit int, match func(*ClientStatus) bool) []ClientStatus {
	return page(a.b.clients.all(), after, limit, func(cl *client) (ClientStatus, bool) {
		s, ok := cl.status()
		return s, ok && match(&s)
	})
}

// Find is List for the sessions that match, whose status match may look at and
// not change. It is called for each candidate, from the caller's goroutine.
func (a Sessions) Find(after string, limit int, match func(*SessionStatus) bool) []SessionStatus {
	return page(a.b.clients.all(), after, limit, func(cl *client) (SessionStatus, bool) {
		s := cl.session()
		return s, match(&s)
	})
}

// ClientSubscription is a subscription and the client identifier of its session.
type ClientSubscription struct {
	ClientID string
	mqtt.Subscription
}

func (s *ClientSubscription) compare(o *ClientSubscription) int {
	return cmp.Or(cmp.Compare(s.ClientID, o.ClientID), cmp.Compare(s.Filter, o.Filter))
}

// FindSubscriptions returns up to limit subscriptions (at least 1) that match
// and are above after, in order of client identifier and filter; nil is for the
// first ones. match is called for each candidate, from the caller's goroutine.
func (a Sessions) FindSubscriptions(after *ClientSubscription, limit int, match func(*ClientSubscription) bool) []ClientSubscription {
	all := a.b.clients.all()
	slices.SortFunc(all, func(x, y *client) int { return cmp.Compare(x.id, y.id) })
	var out []ClientSubscription
	for _, cl := range all {
		if after != nil && cl.id < after.ClientID {
			continue
		}
		own := cl.sess.Subscriptions()
		slices.SortFunc(own, func(x, y mqtt.Subscription) int { return cmp.Compare(x.Filter, y.Filter) })
		for _, sub := range own {
			s := ClientSubscription{cl.id, sub}
			if after != nil && s.compare(after) <= 0 || !match(&s) {
				continue
			}
			if out = append(out, s); len(out) == max(1, limit) {
				return out
			}
		}
	}
	return out
}

// SharedEntry is a key of [Shared], its value and its version.
type SharedEntry struct {
	Key     string
	Value   []byte // must not be changed
	Version uint64
}

// List returns up to limit entries (at least 1) whose key begins with prefix and
// is above after, in order of key.
func (s *Shared) List(prefix, after string, limit int) []SharedEntry {
	s.mu.Lock()
	var out []SharedEntry
	for key, v := range s.values {
		if strings.HasPrefix(key, prefix) && key > after { // no key is empty
			out = append(out, SharedEntry{key, v.value, v.version})
		}
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(x, y SharedEntry) int { return cmp.Compare(x.Key, y.Key) })
	return out[:min(len(out), max(1, limit))]
}

// ListenerConnections is how many connections of a listener are open, those that
// have not sent CONNECT included.
func (b *Broker) ListenerConnections(name string) int {
	return int(b.place(name).connections.Load())
}
