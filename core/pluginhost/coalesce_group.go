package pluginhost

import (
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// group is one call of Intercept on its way: the marshalled calls of a batch
// and their verdicts. It holds nothing of the batch but its clients.
//
// The caller makes it and applies it. In between it belongs to a [coalescer],
// whose mutex guards the fields below the line.
type group struct {
	body  []byte       // the fields of all calls, one after the other, without numbers
	items []item       // one per call
	hand  *hook.InHand // what the broker has in hand; nil for nothing
	done  chan struct{}

	// ---
	prev, next *group // in the queue
	queued     bool
	taken      int  // items that were taken to be sent
	open       int  // items without an answer
	finished   bool // done was signalled, or the caller has gone
	err        error
}

// item is one call of a group.
type item struct {
	end     int // where its fields end in body
	client  *hook.Client
	verdict *verdict // nil: passes unchanged; written before done
}

// itemOverhead is what an item is accounted with in the queue beside its bytes.
const itemOverhead = 64

// What a group may keep when it goes back to the pool.
const (
	keepBody  = 64 << 10
	keepItems = 256
)

var groups = sync.Pool{New: func() any { return &group{done: make(chan struct{}, 1)} }}

// newGroup marshals a batch. Afterwards nothing of the batch's buffers is
// needed any more.
func newGroup(b *hook.Batch, plan *payloadPlan) (*group, error) {
	g := groups.Get().(*group)
	for i, c := range b.Calls {
		if i > 0 && b.Point == hook.PointPublish && alike(b.Calls[i-1], c) {
			g.repeat(c, plan.cut(b.Point, 0, c.Message))
			continue
		}
		if err := checkCall(b.Point, c); err != nil {
			g.free()
			return nil, err
		}
		var payload []byte
		if c.Message != nil {
			payload = plan.cut(b.Point, 0, c.Message)
		}
		g.body = appendCall(g.body, b.Point, c, payload)
		g.items = append(g.items, item{end: len(g.body), client: c.Client})
	}
	g.open = len(g.items)
	return g, nil
}

// alike reports whether two calls about published messages differ in nothing but
// the bytes of the payload, as those of one client mostly do that came together.
func alike(a, b *hook.Call) bool {
	m, n := a.Message, b.Message
	return a.Client == b.Client && m != nil && n != nil && m.Properties == nil && n.Properties == nil &&
		len(m.Payload) == len(n.Payload) && m.Topic == n.Topic && m.Created.Equal(n.Created) && m.Publisher == n.Publisher &&
		m.QoS == n.QoS && m.Retain == n.Retain && m.Origin == n.Origin && m.Hops == n.Hops
}

// repeat writes the call that was written last once more, with another payload.
func (g *group) repeat(c *hook.Call, payload []byte) {
	last := len(g.items) - 1
	g.body = append(g.body, g.body[g.start(last):]...)
	end := len(g.body) - sizeAfterPayload(c.Message)
	copy(g.body[end-len(payload):end], payload)
	g.items = append(g.items, item{end: len(g.body), client: c.Client})
}

// free gives the group back. Nothing else may refer to it.
func (g *group) free() {
	clear(g.items)
	body, items := g.body[:0], g.items[:0]
	if cap(body) > keepBody {
		body = nil
	}
	if cap(items) > keepItems {
		items = nil
	}
	*g = group{body: body, items: items, done: g.done}
	groups.Put(g)
}

// start is where the fields of item i begin in body.
func (g *group) start(i int) int {
	if i == 0 {
		return 0
	}
	return g.items[i-1].end
}

func (g *group) size(i int) int { return g.items[i].end - g.start(i) }

// weight is what the items from i on are accounted with in the queue.
func (g *group) weight(i int) int {
	return len(g.body) - g.start(i) + itemOverhead*(len(g.items)-i)
}

// apply writes the verdicts into the batch that the group was made of: all of
// them, or, if one is illegal, none.
func (g *group) apply(b *hook.Batch) error {
	var few [8]outcome
	outcomes := few[:0]
	for i := range g.items {
		v := g.items[i].verdict
		if v == nil {
			continue
		}
		o, err := v.check(b.Point, b.Calls[i])
		if err != nil {
			return err
		}
		outcomes = append(outcomes, o)
	}
	next := 0
	for i, c := range b.Calls {
		if g.items[i].verdict == nil {
			c.Verdict = hook.CallVerdict{}
			continue
		}
		o := &outcomes[next]
		next++
		c.Verdict = o.verdict
		if o.message != nil {
			c.Message = o.message
		}
		if o.subscription != nil {
			c.Subscription = *o.subscription
		}
	}
	return nil
}
