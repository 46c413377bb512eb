package session

import (
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// indexFrom is the number of subscriptions from which a search through all of
// them costs more than the memory of an index.
const indexFrom = 16

// subscriptions are those of one client, in no particular order.
type subscriptions struct {
	list  []mqtt.Subscription
	index map[string]int // filter -> place in list; nil while there are few
}

func (t *subscriptions) find(filter string) (int, bool) {
	if t.index != nil {
		i, ok := t.index[filter]
		return i, ok
	}
	i := slices.IndexFunc(t.list, func(sub mqtt.Subscription) bool { return sub.Filter == filter })
	return i, i >= 0
}

func (t *subscriptions) set(sub mqtt.Subscription) (existed bool) {
	if i, ok := t.find(sub.Filter); ok {
		t.list[i] = sub
		return true
	}
	t.list = append(t.list, sub)
	switch {
	case t.index != nil:
		t.index[sub.Filter] = len(t.list) - 1
	case len(t.list) >= indexFrom:
		t.index = make(map[string]int, 2*indexFrom)
		for i, sub := range t.list {
			t.index[sub.Filter] = i
		}
	}
	return false
}

func (t *subscriptions) remove(filter string) (existed bool) {
	i, ok := t.find(filter)
	if !ok {
		return false
	}
	last := len(t.list) - 1
	t.list[i] = t.list[last]
	t.list[last] = mqtt.Subscription{}
	t.list = t.list[:last]
	if t.index != nil {
		delete(t.index, filter)
		if i != last {
			t.index[t.list[i].Filter] = i
		}
	}
	if last == 0 {
		*t = subscriptions{}
	}
	return true
}

// Subscribe keeps a subscription and reports whether there was one with the
// same filter, which it replaces [MQTT-3.8.4-3].
func (s *Session) Subscribe(sub mqtt.Subscription) (existed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record(&Change{Kind: ChangeSubscribe, Subscription: &sub})
	return s.filters.set(sub)
}

// Unsubscribe removes the subscription with exactly this filter and reports
// whether there was one [MQTT-3.10.4-1].
func (s *Session) Unsubscribe(filter string) (existed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if existed = s.filters.remove(filter); existed {
		s.record(&Change{Kind: ChangeUnsubscribe, Subscription: &mqtt.Subscription{Filter: filter}})
	}
	return existed
}

// Subscription returns the subscription with exactly this filter.
func (s *Session) Subscription(filter string) (sub mqtt.Subscription, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.filters.find(filter)
	if !ok {
		return mqtt.Subscription{}, false
	}
	return s.filters.list[i], true
}

// Subscriptions returns a copy of all subscriptions, in no particular order;
// nil if there are none.
func (s *Session) Subscriptions() []mqtt.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.filters.list)
}

// SubscriptionCount returns how many subscriptions there are.
func (s *Session) SubscriptionCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.filters.list)
}
