package shadow

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
)

// Reason says why a call was not compared, in words.
type Reason string

// The reasons.
const (
	QueueFull Reason = "the shadow was too slow"
	Absent    Reason = "the shadow was not there"
	Unasked   Reason = "the plugin itself was not asked, or not there"
	Kept      Reason = "decisions that were kept, about which the plugin was not asked again"
	Exchange  Reason = "enhanced authentication, in which only one of them can speak with the client"
)

// Counts is what came of comparing.
type Counts struct {
	Hooks map[hook.Point]Outcomes
	Left  map[Reason]uint64 // calls, and events, that were not compared or told
	// Events is how many events the first version was told, and the second too
	// but for those in Left.
	Events uint64
}

// Outcomes count the calls at one point.
type Outcomes struct {
	Same, Differ uint64
	// Failed is how many of those that differ do because the second version could
	// not decide.
	Failed uint64
}

// Sum is the outcomes at all points together.
func (c *Counts) Sum() (sum Outcomes) {
	for _, o := range c.Hooks {
		sum.Same, sum.Differ, sum.Failed = sum.Same+o.Same, sum.Differ+o.Differ, sum.Failed+o.Failed
	}
	return sum
}

// counts are Counts that are being counted.
type counts struct {
	events atomic.Uint64
	hooks  [hook.NumPoints]struct{ same, differ, failed atomic.Uint64 }

	mu   sync.Mutex // guards left
	left map[Reason]uint64
}

func (c *counts) leave(why Reason, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == nil {
		c.left = make(map[Reason]uint64)
	}
	c.left[why] += n
}

// Read tells what was counted so far.
func (s *Shadow) Read() *Counts {
	out := &Counts{Hooks: make(map[hook.Point]Outcomes), Left: make(map[Reason]uint64), Events: s.counts.events.Load()}
	for p := range hook.NumPoints {
		h := &s.counts.hooks[p]
		if o := (Outcomes{h.same.Load(), h.differ.Load(), h.failed.Load()}); o != (Outcomes{}) {
			out.Hooks[p] = o
		}
	}
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	maps.Copy(out.Left, s.counts.left)
	return out
}

// leave counts a report whose calls are not compared.
func (s *Shadow) leave(r *hook.Report, why Reason) { s.counts.leave(why, questions(r)) }

// compare counts two answers to one question, and tells of them if they differ.
func (s *Shadow) compare(first, second *trace.Call) {
	h := &s.counts.hooks[first.Point]
	if bothPass(first, second) || s.options.Same(first, second) {
		h.same.Add(1)
		return
	}
	h.differ.Add(1)
	if second.Err != nil {
		h.failed.Add(1)
	}
	s.options.Differ(first, second)
}

// bothPass is the short way for what happens most: nobody changes anything.
func bothPass(first, second *trace.Call) bool { return passes(first) && passes(second) }

func passes(c *trace.Call) bool {
	if c.Err != nil || c.Point == hook.PointConnect {
		return false
	}
	call := &c.Calls[c.At]
	v := &call.Verdict
	return v.Action == hook.Pass && v.Code == 0 && v.Reason == "" && v.ServerReference == "" && len(v.User) == 0 &&
		call.Message == call.Asked.Message && call.Subscription == call.Asked.Subscription
}
