package script

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// through gives a context to all scripts that have a hook's function, A to Z.
// topic is that of the call at the moment, "" for none.
func (s *Set) through(ctx context.Context, id hookID, src any, within time.Duration, topic func() string) error {
	functions := s.functions[id]
	if len(functions) == 0 {
		return nil
	}
	return s.run(ctx, hooks[id].Name, within, func(c *call) error {
		x := newContext(&hooks[id], src, c.limits)
		x.call = c
		args := starlark.Tuple{x}
		for _, f := range functions {
			if len(f.topics) > 0 && !matches(f.topics, topic) {
				continue
			}
			if err := c.invoke(f, hooks[id].Name, args); err != nil {
				return err
			}
			if err := x.settle(); err != nil {
				return nonsense(f.module.name, hooks[id].Name, "%s", oneLine(err.Error()))
			}
		}
		x.frozen = true
		return nil
	})
}

// matches reports whether a topic, or a filter that a client subscribes to, has
// anything to do with filters. A subscription to "#" has to do with all of them.
func matches(filters []string, topic func() string) bool {
	if topic == nil {
		return true
	}
	name := topic()
	for _, f := range filters {
		if overlap(f, name) {
			return true
		}
	}
	return false
}

// overlap reports whether there is a topic that both filters match. A topic is a
// filter too.
func overlap(a, b string) bool {
	if _, rest, ok := pluginapi.SplitShared(b); ok {
		b = rest
	}
	if strings.HasPrefix(a, "$") != strings.HasPrefix(b, "$") {
		return false
	}
	for {
		x, restA, moreA := strings.Cut(a, "/")
		y, restB, moreB := strings.Cut(b, "/")
		if x == "#" || y == "#" {
			return true
		}
		if x != "+" && y != "+" && x != y {
			return false
		}
		switch {
		case moreA && moreB:
			a, b = restA, restB
		case moreA:
			return restA == "#"
		case moreB:
			return restB == "#"
		default:
			return true
		}
	}
}

// Connect decides about a CONNECT. Without a script that does it has no opinion.
// An error means that the scripts could not decide.
func (s *Set) Connect(ctx context.Context, connect *pluginapi.Connect) (*pluginapi.Decision, error) {
	c := &connecting{Connect: connect}
	if err := s.through(ctx, hookConnect, c, s.limits.ConnectTime, nil); err != nil {
		return nil, err
	}
	return c.decide(), nil
}

// Publish decides about a message, which it may change.
func (s *Set) Publish(ctx context.Context, call *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	p := publishing{call: call, answer: accepted}
	done, err := s.withItems(ctx, call.Client, func(c *pluginapi.Client) error {
		p.call = &pluginapi.PublishCall{Client: c, Message: call.Message}
		return s.through(ctx, hookPublish, &p, s.limits.Time, func() string { return call.Message.Topic })
	})
	if err != nil || !done {
		return pluginapi.Verdict{}, err
	}
	return p.verdict(), nil
}

// Subscribe decides about a filter of a SUBSCRIBE, which it may change.
func (s *Set) Subscribe(ctx context.Context, call *pluginapi.SubscribeCall) (pluginapi.Verdict, error) {
	p := subscribing{answer: accepted}
	done, err := s.withItems(ctx, call.Client, func(c *pluginapi.Client) error {
		p.call = &pluginapi.SubscribeCall{Client: c, Subscription: call.Subscription, UserProperties: call.UserProperties}
		err := s.through(ctx, hookSubscribe, &p, s.limits.Time, func() string { return p.call.Subscription.Filter })
		call.Subscription = p.call.Subscription
		return err
	})
	if err != nil || !done {
		return pluginapi.Verdict{}, err
	}
	return p.verdict(), nil
}

// Unsubscribe decides about a filter of an UNSUBSCRIBE.
func (s *Set) Unsubscribe(ctx context.Context, call *pluginapi.UnsubscribeCall) (pluginapi.Verdict, error) {
	p := unsubscribing{answer: accepted}
	done, err := s.withItems(ctx, call.Client, func(c *pluginapi.Client) error {
		p.call = &pluginapi.UnsubscribeCall{Client: c, Filter: call.Filter, UserProperties: call.UserProperties}
		return s.through(ctx, hookUnsubscribe, &p, s.limits.Time, func() string { return p.call.Filter })
	})
	if err != nil || !done {
		return pluginapi.Verdict{}, err
	}
	return p.verdict(), nil
}

// Deliver decides about a message for one receiver, which it may change.
func (s *Set) Deliver(ctx context.Context, call *pluginapi.DeliverCall) (pluginapi.Verdict, error) {
	d := delivering{call: call, answer: accepted}
	err := s.through(ctx, hookDeliver, &d, s.limits.Time, func() string { return call.Message.Topic })
	if err != nil {
		return pluginapi.Verdict{}, err
	}
	return d.deliveryVerdict(), nil
}

// Event tells the scripts what happened. Kinds that no script asks for are
// passed over.
func (s *Set) Event(ctx context.Context, e *pluginapi.Event) error {
	for id := hookConnected; id < numHooks; id++ {
		if slices.Contains(hooks[id].events, e.Kind) {
			return s.through(ctx, id, e, s.limits.Time, func() string { return topicOf(e) })
		}
	}
	return nil
}

func topicOf(e *pluginapi.Event) string {
	switch {
	case e.Message != nil:
		return e.Message.Topic
	case e.Subscription != nil:
		return e.Subscription.Filter
	}
	return ""
}

// withItems calls f with a client of its own, because the broker's is shared by
// many calls, and tells the broker of session items that f has changed. It
// reports whether f was called and did not fail.
func (s *Set) withItems(ctx context.Context, client *pluginapi.Client, f func(*pluginapi.Client) error) (bool, error) {
	if client == nil {
		err := f(nil)
		return err == nil, err
	}
	own := *client
	if err := f(&own); err != nil {
		return false, err
	}
	set, removed := changes(client.Items, own.Items)
	if len(set)+len(removed) == 0 {
		return true, nil
	}
	if s.options.Broker.Sessions == nil {
		return false, &Failure{Message: "session_items can't be changed: " + pluginapi.ErrNoHost.Error()}
	}
	if _, err := s.options.Broker.Sessions.UpdateItems(ctx, client.ID, set, removed...); err != nil {
		return false, &Failure{Message: "session_items can't be changed: " + oneLine(err.Error())}
	}
	return true, nil
}

// changes is what turns one set of items into another.
func changes(from, to map[string][]byte) (set map[string][]byte, removed []string) {
	if maps.EqualFunc(from, to, bytes.Equal) {
		return nil, nil
	}
	set = make(map[string][]byte)
	for k, v := range to {
		if old, ok := from[k]; !ok || !bytes.Equal(old, v) {
			set[k] = v
		}
	}
	for k := range from {
		if _, ok := to[k]; !ok {
			removed = append(removed, k)
		}
	}
	return set, removed
}
