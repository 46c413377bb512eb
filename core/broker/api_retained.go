package broker

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// Retained is the part of the server API that is about retained messages.
type Retained struct{ b *Broker }

// Retained returns the API of retained messages.
func (b *Broker) Retained() Retained { return Retained{b} }

// List returns up to limit retained messages (at least 1) that match a filter
// and whose topic is above after, in order of topic. An empty filter matches
// every topic. $SYS is not among them. The error wraps ErrInvalid.
func (a Retained) List(filter, after string, limit int) ([]*mqtt.Message, error) {
	found := lowest{limit: max(1, limit)}
	collect := func(m *mqtt.Message) bool {
		if after == "" || m.Topic > after {
			found.add(m)
		}
		return true
	}
	now := time.Now()
	if filter == "" {
		a.b.retained.All(now, collect)
	} else {
		if err := topic.ValidateFilter(filter); err != nil {
			return nil, fmt.Errorf("%w: filter %q: %w", ErrInvalid, filter, err)
		}
		a.b.retained.Match(filter, now, collect)
	}
	slices.SortFunc(found.messages, compareTopics)
	return found.messages, nil
}

func compareTopics(x, y *mqtt.Message) int { return cmp.Compare(x.Topic, y.Topic) }

// lowest keeps the messages with the lowest topics: a page of few out of many
// takes the room of the few. It is a heap with the highest on top.
type lowest struct {
	limit    int
	messages []*mqtt.Message
}

func (l *lowest) add(m *mqtt.Message) {
	if len(l.messages) < l.limit {
		heap.Push(l, m)
	} else if m.Topic < l.messages[0].Topic {
		l.messages[0] = m
		heap.Fix(l, 0)
	}
}

// Len, Less, Swap, Push and Pop make it a [heap.Interface].
func (l *lowest) Len() int           { return len(l.messages) }
func (l *lowest) Less(i, j int) bool { return l.messages[i].Topic > l.messages[j].Topic }
func (l *lowest) Swap(i, j int)      { l.messages[i], l.messages[j] = l.messages[j], l.messages[i] }

// Push appends x, a *mqtt.Message.
func (l *lowest) Push(x any) { l.messages = append(l.messages, x.(*mqtt.Message)) }

// Pop takes the last one.
func (l *lowest) Pop() any {
	last := len(l.messages) - 1
	m := l.messages[last]
	l.messages = l.messages[:last]
	return m
}

// Get returns the retained message of a topic; false if there is none.
func (a Retained) Get(name string) (*mqtt.Message, bool) {
	return a.b.retainedMessage(name, time.Now())
}

// Put stores a retained message without publishing it; an empty payload removes
// what its topic has. It returns when the store has it, with its revision.
// Interceptors are not asked. The error wraps ErrInvalid, ErrQuota or ErrUnwritten, or is a
// *Refusal as Publish returns it, the store's, or ctx's.
func (a Retained) Put(ctx context.Context, m *mqtt.Message) (revision uint64, err error) {
	if revision, err = a.set(ctx, m); err != nil {
		return 0, err
	}
	return revision, a.b.retained.Wait(ctx, revision)
}

// set is Put without waiting for the store.
func (a Retained) set(ctx context.Context, m *mqtt.Message) (revision uint64, err error) {
	c, err := a.b.made(ctx, m)
	if err != nil {
		return 0, err
	}
	c.Retain = true
	revision, _, err = a.b.setRetained(c, a.b.force.Load().durability, true)
	if errors.Is(err, retain.ErrQuota) {
		return 0, fmt.Errorf("%w: %w", ErrQuota, err)
	}
	return revision, err
}

// importAhead is how many messages Import takes before the store has the first.
const importAhead = 1024

// Import is Put for many messages, which the store gets many at a time. It ends
// at the first error and returns how many messages came before; some of those
// may not be in the store if the error is its.
func (a Retained) Import(ctx context.Context, messages iter.Seq[*mqtt.Message]) (put int, err error) {
	var last uint64
	for m := range messages {
		revision, err := a.set(ctx, m)
		if err != nil {
			return put, errors.Join(err, a.b.retained.Wait(ctx, last))
		}
		last = revision
		if put++; put%importAhead == 0 {
			if err := a.b.retained.Wait(ctx, last); err != nil {
				return put, err
			}
		}
	}
	return put, a.b.retained.Wait(ctx, last)
}

// Delete removes the retained messages that match a filter, or that of one
// topic, and returns how many those were. It returns when the store has
// followed. The error wraps ErrInvalid, or is the store's, or ctx's.
func (a Retained) Delete(ctx context.Context, filter string) (deleted int, err error) {
	names := []string{filter}
	if strings.ContainsAny(filter, "+#") {
		names = nil
		err = topic.ValidateFilter(filter)
	} else {
		err = topic.ValidateName(filter)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: filter %q: %w", ErrInvalid, filter, err)
	}
	if names == nil {
		a.b.retained.Match(filter, time.Now(), func(m *mqtt.Message) bool {
			names = append(names, m.Topic)
			return true
		})
	}
	if a.b.retained.Ready() != nil {
		return 0, ErrUnwritten
	}
	var last uint64
	for i, name := range names {
		if i%importAhead == 0 {
			if err := a.b.retained.Wait(ctx, last); err != nil {
				return deleted, err
			}
		}
		revision, existed, err := a.b.retained.Delete(name)
		if err != nil {
			return deleted, err
		}
		last = max(last, revision)
		if existed {
			deleted++
			a.cleared(ctx, name)
		}
	}
	if deleted == 0 {
		return 0, nil
	}
	return deleted, a.b.retained.Wait(ctx, last)
}

// cleared tells observers that a topic has no retained message any more.
func (a Retained) cleared(ctx context.Context, name string) {
	if a.b.hooks.Observes(hook.RetainedCleared) {
		a.b.emit(nil, &hook.Event{Kind: hook.RetainedCleared, Message: &mqtt.Message{
			Topic: name, Retain: true, Origin: mqtt.FromServer, Created: time.Now(), Hops: hook.InHandOf(ctx).NextHops(),
		}})
	}
}

// Clear removes all retained messages but $SYS and returns how many those were.
// It returns when the store has followed. Observers are told once, without a
// message. The error is the store's, or ctx's.
func (a Retained) Clear(ctx context.Context) (deleted int, err error) {
	if a.b.retained.Ready() != nil {
		return 0, ErrUnwritten
	}
	deleted = a.b.retained.Len()
	revision, err := a.b.retained.Clear()
	if err != nil {
		return 0, err
	}
	if a.b.hooks.Observes(hook.RetainedCleared) {
		a.b.emit(nil, &hook.Event{Kind: hook.RetainedCleared, Reason: "all"})
	}
	return deleted, a.b.retained.Wait(ctx, revision)
}
