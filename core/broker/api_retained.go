package broker

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Retained is the part of the server API that is about retained messages.
type Retained struct{ b *Broker }

// Retained returns the API of retained messages.
func (b *Broker) Retained() Retained { return Retained{b} }

// List returns up to limit retained messages (at least 1) that match a filter
// and whose topic is above after, in order of topic. An empty filter matches
// every topic. $SYS is not among them.
func (a Retained) List(filter, after string, limit int) []*mqtt.Message {
	var all []*mqtt.Message
	collect := func(m *mqtt.Message) bool {
		if after == "" || m.Topic > after {
			all = append(all, m)
		}
		return true
	}
	now := time.Now()
	if filter == "" {
		a.b.retained.All(now, collect)
	} else {
		a.b.retained.Match(filter, now, collect)
	}
	slices.SortFunc(all, func(x, y *mqtt.Message) int { return cmp.Compare(x.Topic, y.Topic) })
	return all[:min(len(all), max(1, limit))]
}

// Get returns the retained message of a topic; false if there is none.
func (a Retained) Get(name string) (*mqtt.Message, bool) {
	return a.b.retainedMessage(name, time.Now())
}

// Put stores a retained message without publishing it; an empty payload removes
// what its topic has. It returns when the store has it. The error says what is
// wrong with m, or is the store's, or ctx's.
func (a Retained) Put(ctx context.Context, m *mqtt.Message) error {
	if err := checkMessage(m); err != nil {
		return err
	}
	c := m.Clone()
	c.Retain = true
	if c.Created.IsZero() {
		c.Created = time.Now()
	}
	revision, err := a.b.setRetained(c)
	if err != nil {
		return err
	}
	return a.b.retained.Wait(ctx, revision)
}

// Delete removes the retained messages that match a filter, or that of one
// topic, and returns how many those were. It returns when the store has
// followed. The error is the store's, or ctx's.
func (a Retained) Delete(ctx context.Context, filter string) (deleted int, err error) {
	names := []string{filter}
	if strings.ContainsAny(filter, "+#") {
		names = nil
		a.b.retained.Match(filter, time.Now(), func(m *mqtt.Message) bool {
			names = append(names, m.Topic)
			return true
		})
	}
	var last uint64
	for _, name := range names {
		revision, existed, err := a.b.retained.Delete(name)
		if err != nil {
			return deleted, err
		}
		last = max(last, revision)
		if existed {
			deleted++
		}
	}
	if deleted == 0 {
		return 0, nil
	}
	return deleted, a.b.retained.Wait(ctx, last)
}
