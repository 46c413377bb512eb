package hook

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Outcome says how a call ended.
type Outcome uint8

// The outcomes. A validator that allows lets pass, one that denies refuses; an
// observer or a store that took what it was given let it pass.
const (
	OutcomePass Outcome = iota
	OutcomeChange
	OutcomeDrop
	OutcomeRefuse
	OutcomeDisconnect
	OutcomeAbstain
	OutcomeFailed    // it could not decide, or made a change that it may not make
	OutcomeTimeout   // it did not answer in time
	OutcomeAbandoned // the client left before it had answered
	numOutcomes
)

// String names the outcome in lower case.
func (o Outcome) String() string {
	names := [...]string{"pass", "change", "drop", "refuse", "disconnect", "abstain", "failed", "timeout", "abandoned"}
	if int(o) < len(names) {
		return names[o]
	}
	return "unknown"
}

// The buckets of latencies: each reaches twice as far as the one before.
const (
	firstBound = 10 * time.Microsecond
	numBounds  = 22 // the last is about 21 s
)

// LatencyBounds returns the upper bounds of the buckets of a [Latency], which
// are the same for all; what took longer is in one more bucket.
func LatencyBounds() []time.Duration {
	out := make([]time.Duration, numBounds)
	for i := range out {
		out[i] = firstBound << i
	}
	return out
}

// histogram counts calls by how long they took.
type histogram struct {
	buckets [numBounds + 1]atomic.Uint64
	nanos   atomic.Uint64
}

func (h *histogram) add(took time.Duration, n uint64) {
	took = max(took, 0)
	at := 0
	if took > firstBound {
		at = min(bits.Len64(uint64((took-1)/firstBound)), numBounds)
	}
	h.buckets[at].Add(n)
	h.nanos.Add(uint64(took) * n)
}

// Latency is how long the calls took that ended in one way at one [Point].
type Latency struct {
	Point   Point
	Outcome Outcome
	Count   uint64
	Sum     time.Duration
	// Buckets count the calls up to each of the [LatencyBounds], each bucket for
	// itself, and in one more those that took longer.
	Buckets []uint64
}

// Quantile returns the bound below which a share of the calls, 0 to 1, ended:
// the bound of a bucket, and so up to twice as long as it was. What is beyond
// the last bound is told as twice that; without a call it is 0.
func (l *Latency) Quantile(share float64) time.Duration {
	if l.Count == 0 {
		return 0
	}
	var seen uint64
	for i, n := range l.Buckets {
		if seen += n; n > 0 && float64(seen) >= share*float64(l.Count) {
			return firstBound << i
		}
	}
	return firstBound << numBounds
}

// Latencies returns how long calls took, by point and outcome, as far as there
// were any.
func (c *Counters) Latencies() []Latency {
	var out []Latency
	for p := range c.points {
		for o := range c.points[p].took {
			if l := c.points[p].took[o].read(); l.Count > 0 {
				l.Point, l.Outcome = Point(p), Outcome(o)
				out = append(out, l)
			}
		}
	}
	return out
}

// Took counts n calls at a point that ended together.
func (c *Counters) Took(p Point, o Outcome, took time.Duration, n int) {
	c.points[p].took[o].add(took, uint64(n))
}

func (h *histogram) read() Latency {
	l := Latency{Buckets: make([]uint64, len(h.buckets)), Sum: time.Duration(h.nanos.Load())}
	for i := range h.buckets {
		l.Buckets[i] = h.buckets[i].Load()
		l.Count += l.Buckets[i]
	}
	return l
}

// tookAll counts the calls of a batch by their outcomes, which are counted in n.
func (pc *pointCounters) tookAll(took time.Duration, n *[numOutcomes]uint64) {
	for o, n := range n {
		if n > 0 {
			pc.took[o].add(took, n)
		}
	}
}

var outcomeOf = [...]Outcome{Pass: OutcomePass, Drop: OutcomeDrop, Refuse: OutcomeRefuse, Disconnect: OutcomeDisconnect}

// outcome is that of a decision.
func (d *Decision) outcome() Outcome {
	switch d.Verdict {
	case Allow:
		return OutcomePass
	case Deny:
		return OutcomeRefuse
	default:
		return OutcomeAbstain
	}
}
