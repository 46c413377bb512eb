package hook

import "sync/atomic"

// Counters count what became of the calls of one hook, and hold its circuit
// breakers, so that both outlive a change of the chain. All methods may be
// called from many goroutines; the zero value is ready.
type Counters struct {
	points [NumPoints]pointCounters
}

type pointCounters struct {
	decided, failed, timeouts, violations, kept, rejected atomic.Uint64

	running atomic.Int64
	breaker breaker
	policy  [OnErrorDisconnect + 1]atomic.Uint64
	took    [numOutcomes]histogram
}

// PointCount is a reading of the counters at one [Point].
type PointCount struct {
	Point      Point
	Decided    uint64 // calls that the hook decided
	Failed     uint64 // calls that it could not decide
	Timeouts   uint64 // of those, calls that it did not answer in time
	Violations uint64 // calls with a change that it may not make
	Refused    uint64 // failed calls that the policy refused
	Passed     uint64 // failed calls that the policy let pass
	Cut        uint64 // failed calls for which the policy ended the client
	Held       uint64 // calls that had to wait for the hook, whatever followed
	Kept       uint64 // calls that a kept decision answered
	Running    int64  // calls that run now
	Rejected   uint64 // calls that the open breaker kept from being made
	Opened     uint64 // how often the breaker opened
	Breaker    BreakerState
}

// Read returns the counters of the points at which anything was counted.
func (c *Counters) Read() []PointCount {
	var out []PointCount
	for p := range c.points {
		pc := &c.points[p]
		n := PointCount{
			Point:      Point(p),
			Decided:    pc.decided.Load(),
			Failed:     pc.failed.Load(),
			Timeouts:   pc.timeouts.Load(),
			Violations: pc.violations.Load(),
			Refused:    pc.policy[OnErrorRefuse].Load(),
			Passed:     pc.policy[OnErrorPass].Load(),
			Cut:        pc.policy[OnErrorDisconnect].Load(),
			Held:       pc.policy[OnErrorHold].Load(),
			Kept:       pc.kept.Load(),
			Running:    pc.running.Load(),
			Rejected:   pc.rejected.Load(),
		}
		n.Breaker, n.Opened = pc.breaker.read()
		if n != (PointCount{Point: n.Point}) {
			out = append(out, n)
		}
	}
	return out
}
