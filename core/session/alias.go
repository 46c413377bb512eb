package session

import (
	"hash/maphash"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// ResolveAlias returns the topic that an arriving PUBLISH means, and keeps
// the alias if it sets one. The code is 0x94 for an alias of 0 or above our
// maximum [MQTT-3.3.2-8] [MQTT-3.3.2-9], 0x82 for an empty topic with an
// alias that was not set over this connection or with none at all, else
// Success; with any other code the connection is to be closed. Called by the
// reader, before the topic is validated.
func (s *Session) ResolveAlias(topic string, alias uint16, hasAlias bool) (string, mqtt.ReasonCode) {
	if !hasAlias {
		if topic == "" {
			return "", mqtt.ProtocolError
		}
		return topic, mqtt.Success
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn
	if c == nil || alias == 0 || alias > c.aliasMaximum {
		return "", mqtt.TopicAliasInvalid
	}
	if topic != "" {
		if c.aliasIn == nil {
			c.aliasIn = make(map[uint16]string)
		}
		c.aliasIn[alias] = topic
		return topic, mqtt.Success
	}
	topic, ok := c.aliasIn[alias]
	if !ok {
		return "", mqtt.ProtocolError
	}
	return topic, mqtt.Success
}

// Alias returns the topic alias to write with a PUBLISH of this topic, 0 for
// none, and whether the topic is to be left out because the client knows the
// alias [MQTT-3.3.2-11]. The writer calls it for a PUBLISH that it is just
// about to write, after hooks had their say, and [Session.Unalias] if it then
// did not write it. It need not call it for a client that accepts no alias.
func (s *Session) Alias(topic string) (alias uint16, omitTopic bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.aliasOut == nil {
		return 0, false
	}
	return s.conn.aliasOut.assign(topic)
}

// Unalias takes back what [Session.Alias] returned for a PUBLISH that was not
// written, so that the client may not know the alias.
func (s *Session) Unalias(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && s.conn.aliasOut != nil {
		s.conn.aliasOut.forget(topic)
	}
}

const (
	// maxAliases bounds the memory that a client's Topic Alias Maximum costs.
	maxAliases = 128
	// aliasCost is the length of the property; a topic that is not longer is
	// cheaper to write than its alias.
	aliasCost = 3
	// candidates is how many topics are remembered as seen once.
	candidates = 256
)

var topicSeed = maphash.MakeSeed()

// aliasTable assigns aliases to topics: to the first ones that come, and when
// all are taken to those that come again, in place of one that was not used
// for long (second chance). So a client that receives more topics than it has
// aliases is not told a new alias with every message.
type aliasTable struct {
	max     int
	byTopic map[string]uint16
	slots   []aliasSlot // of alias 1, 2, ...
	hand    int
	seen    []uint64 // hashes of candidates, nil until all aliases are taken
}

type aliasSlot struct {
	topic string
	used  bool // since the hand passed
}

func (t *aliasTable) assign(topic string) (alias uint16, known bool) {
	if len(topic) <= aliasCost {
		return 0, false
	}
	if alias, known = t.byTopic[topic]; known {
		t.slots[alias-1].used = true
		return alias, true
	}
	switch {
	case len(t.slots) < t.max:
		t.slots = append(t.slots, aliasSlot{})
		alias = uint16(len(t.slots))
	case t.repeated(topic):
		alias = t.evict()
	default:
		return 0, false
	}
	if t.byTopic == nil {
		t.byTopic = make(map[string]uint16)
	}
	t.byTopic[topic] = alias
	t.slots[alias-1] = aliasSlot{topic: topic}
	return alias, false
}

// repeated reports whether the topic was seen not long ago, and remembers it.
func (t *aliasTable) repeated(topic string) bool {
	if t.seen == nil {
		t.seen = make([]uint64, candidates)
	}
	h := maphash.String(topicSeed, topic)
	cell := &t.seen[h%candidates]
	if *cell == h {
		return true
	}
	*cell = h
	return false
}

func (t *aliasTable) evict() uint16 {
	for {
		slot := &t.slots[t.hand]
		alias := uint16(t.hand + 1)
		t.hand = (t.hand + 1) % len(t.slots)
		if !slot.used {
			delete(t.byTopic, slot.topic)
			return alias
		}
		slot.used = false
	}
}

func (t *aliasTable) forget(topic string) {
	if alias, ok := t.byTopic[topic]; ok {
		delete(t.byTopic, topic)
		t.slots[alias-1] = aliasSlot{}
	}
}
