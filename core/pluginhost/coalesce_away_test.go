package pluginhost

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// awayCoalescer is a coalescer without a stream, to which frames are sent by
// hand.
func awayCoalescer() *coalescer {
	c := newCoalescer(nil, new(streamStats), nil)
	c.frames.reset()
	return c
}

func awayGroup(t *testing.T, n int) *group {
	t.Helper()
	b := publish(nil)
	for range n {
		b.Calls = append(b.Calls, &hook.Call{Message: message("a", "")})
	}
	g, err := newGroup(b, newPayloadPlan(nil))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestAwayForgetsTheLongOverdue: what is remembered of a plugin that never
// answers is bounded, and an answer after all that time is still no crime.
func TestAwayForgetsTheLongOverdue(t *testing.T) {
	c := awayCoalescer()
	for range 3 * maxOverdueFrames {
		g := awayGroup(t, 2)
		g.taken, g.finished = 2, true // its caller has gone
		c.away++
		c.register([]piece{{g, 0, 2}})
	}
	if n := len(c.frames.overdue); n > maxOverdueFrames {
		t.Errorf("%d frames are remembered", n)
	}
	if len(c.frames.live) != 0 || c.away != 0 {
		t.Errorf("%d frames are away", c.away)
	}
	if err := c.answer(1, 4*maxOverdueFrames, nil); err != nil { // across the border of what is known
		t.Error(err)
	}
	if err := c.answer(6*maxOverdueFrames, 1, nil); err != nil {
		t.Error(err)
	}
	if err := c.answer(6*maxOverdueFrames, 1, nil); err == nil {
		t.Error("a second late answer passes")
	}
	if late := c.stats.late.Load(); late != 4*maxOverdueFrames+1 {
		t.Errorf("%d late answers", late)
	}
}

// TestAnswerAcrossFrames: one range may answer calls of several frames, with
// late ones in between.
func TestAnswerAcrossFrames(t *testing.T) {
	c := awayCoalescer()
	first, gone, last := awayGroup(t, 64), awayGroup(t, 3), awayGroup(t, 2)
	for _, g := range []*group{first, gone, last} {
		g.taken = len(g.items)
		c.away++
		c.register([]piece{{g, 0, len(g.items)}})
	}
	c.mu.Lock()
	gone.finished = true
	c.frames.leave(gone)
	c.retire()
	c.mu.Unlock()
	if err := c.settle(&reply{passed: []seqRange{{2, 68}}}); err != nil {
		t.Fatal(err)
	}
	if first.finished || !last.finished || c.away != 1 || len(c.frames.overdue) != 0 {
		t.Errorf("first %v, last %v, %d away, %v overdue", first.finished, last.finished, c.away, c.frames.overdue)
	}
	if err := c.settle(&reply{verdicts: []seqVerdict{{1, new(verdict)}}}); err != nil {
		t.Fatal(err)
	}
	if !first.finished || first.items[0].verdict == nil || first.items[1].verdict != nil || c.away != 0 {
		t.Errorf("first %v, %d away", first.finished, c.away)
	}
	if err := c.settle(&reply{passed: []seqRange{{66, 1}}}); err == nil {
		t.Error("a second answer to a late call passes")
	}
}

func TestGroupKeepsLittle(t *testing.T) {
	g := awayGroup(t, 1)
	g.body = make([]byte, keepBody+1)
	g.items = make([]item, keepItems+1)
	done := g.done
	g.free()
	if g.body != nil || g.items != nil || g.done != done {
		t.Errorf("kept %d bytes and %d items", cap(g.body), cap(g.items))
	}
}

func TestOutgoingIsSentOnce(t *testing.T) {
	var out outgoing
	out.alloc(10)
	if _, err := codec.Marshal(&out); err != nil {
		t.Fatal(err)
	}
	if _, err := codec.Marshal(&out); err == nil {
		t.Error("sent twice")
	}
}
