package interceptor

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// rule is one rule, ready to be applied by many goroutines at once.
type rule struct {
	name    string
	match   matcher
	actions []action
	// undoable says that an action may fail after others changed the subject.
	undoable  bool
	onBadJSON string
	goOn      bool // to the next rule

	matched, badJSON atomic.Uint64
}

// ruleSet holds the rules of each hook in their order.
type ruleSet struct {
	publish, subscribe, deliver []*rule
	all                         []*rule
	undecided                   atomic.Uint64 // refused because a rule made no valid topic
	now                         func() time.Time
}

// intercept decides a batch.
func (r *ruleSet) intercept(calls []*pluginapi.Call) {
	var s subject
	for _, c := range calls {
		s = subject{now: r.now, scratch: s.scratch}
		switch {
		case c.Publish != nil:
			s.setPublish(c.Publish)
			r.apply(r.publish, &s)
		case c.Deliver != nil:
			s.setDeliver(c.Deliver)
			r.apply(r.deliver, &s)
		case c.Subscribe != nil:
			s.setSubscribe(c.Subscribe)
			r.apply(r.subscribe, &s)
		}
		c.Verdict = s.verdict
	}
}

func (s *subject) setPublish(c *pluginapi.PublishCall) {
	s.message = c.Message
	s.client = c.Message.Publisher
	if c.Client != nil {
		s.client, s.user = c.Client.ID, c.Client.Username
	}
}

func (s *subject) setDeliver(c *pluginapi.DeliverCall) {
	s.message = c.Message
	s.client = c.Receiver
	if c.Client != nil {
		s.user = c.Client.Username
	}
}

func (s *subject) setSubscribe(c *pluginapi.SubscribeCall) {
	s.subscription = &c.Subscription
	if c.Client != nil {
		s.client, s.user = c.Client.ID, c.Client.Username
	}
}

// apply goes through the rules until one ends it.
func (r *ruleSet) apply(rules []*rule, s *subject) {
	for _, rule := range rules {
		if !rule.match.matches(s) {
			continue
		}
		rule.matched.Add(1)
		switch err := rule.apply(s); {
		case err == nil:
			if !rule.goOn {
				return
			}
		case errors.Is(err, errBadJSON):
			rule.badJSON.Add(1)
			switch rule.onBadJSON {
			case badJSONDrop:
				s.verdict = pluginapi.Drop()
				return
			case badJSONRefuse:
				s.verdict = pluginapi.Refuse(pluginapi.PayloadFormatInvalid, "payload is not JSON")
				return
			}
		default:
			r.undecided.Add(1)
			s.verdict = pluginapi.Refuse(refusalFor(s), "rule "+rule.name+" makes no valid topic of this one")
			return
		}
	}
}

// refusalFor is the reason code for a subject that has no valid new topic.
func refusalFor(s *subject) pluginapi.ReasonCode {
	if s.subscription != nil {
		return pluginapi.TopicFilterInvalid
	}
	return pluginapi.TopicNameInvalid
}

// apply does all actions, or, with an error, nothing.
func (r *rule) apply(s *subject) error {
	var before pluginapi.Message
	if r.undoable {
		before = *s.message
	}
	for _, a := range r.actions {
		if err := a.apply(s); err != nil {
			if r.undoable {
				*s.message = before
				s.checked = false
			}
			return err
		}
	}
	return nil
}

// interest is what the broker has to ask: one entry for each hook that has
// rules, because a message that two entries fit would come twice.
func (r *ruleSet) interest() []pluginapi.Interest {
	var all []pluginapi.Interest
	for _, h := range []struct {
		hook  pluginapi.Hook
		rules []*rule
	}{
		{pluginapi.HookPublish, r.publish},
		{pluginapi.HookSubscribe, r.subscribe},
		{pluginapi.HookDeliver, r.deliver},
	} {
		if len(h.rules) > 0 {
			all = append(all, interestOf(h.hook, h.rules))
		}
	}
	return all
}

func interestOf(hook pluginapi.Hook, rules []*rule) pluginapi.Interest {
	in := pluginapi.Interest{Hook: hook, Payload: pluginapi.PayloadNone, Filters: filtersOf(rules)}
	if hook == pluginapi.HookPublish {
		in.Origins = originsOf(rules)
	}
	for _, r := range rules {
		for _, a := range r.actions {
			n := a.needs()
			if n.payload {
				in.Payload = pluginapi.PayloadFull
			}
			for _, f := range n.changes {
				if fits(hook, f) && !slices.Contains(in.MayChange, f) {
					in.MayChange = append(in.MayChange, f)
				}
			}
		}
	}
	return in
}

// fits reports whether a field is one of the things that a hook is about.
func fits(hook pluginapi.Hook, f pluginapi.Field) bool {
	switch f {
	case pluginapi.FieldQoS:
		return true
	case pluginapi.FieldSubscription:
		return hook == pluginapi.HookSubscribe
	default:
		return hook != pluginapi.HookSubscribe
	}
}

// filtersOf joins the filters of rules, nil for all topics.
func filtersOf(rules []*rule) []string {
	var all []string
	for _, r := range rules {
		if len(r.match.filters) == 0 {
			return nil
		}
		for _, f := range r.match.filters {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	return all
}

// originsOf joins the origins of rules, nil for all.
func originsOf(rules []*rule) []pluginapi.Origin {
	var all []pluginapi.Origin
	for _, r := range rules {
		if len(r.match.origins) == 0 {
			return nil
		}
		for _, o := range r.match.origins {
			if !slices.Contains(all, o) {
				all = append(all, o)
			}
		}
	}
	return all
}
