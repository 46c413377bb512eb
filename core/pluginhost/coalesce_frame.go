package pluginhost

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// Field numbers of InterceptStreamRequest and InterceptRequest.
const (
	fieldClients     = 1
	fieldForget      = 2 // stream only
	fieldStreamCalls = 3
	fieldUnaryCalls  = 2
)

// Bounds of a frame. A call that is larger than maxFrameBytes travels alone.
const (
	maxFrameItems = 256 // a multiple of 64
	maxFrameBytes = 256 << 10
)

// piece is a run of items of one group.
type piece struct {
	group    *group
	from, to int
}

// callOverhead is an upper bound of what a call needs beside its fields: tag,
// length, tag, number.
const callOverhead = 1 + 5 + 1 + 10

// size is an upper bound of what append writes.
func (p piece) size() int {
	return p.group.items[p.to-1].end - p.group.start(p.from) + callOverhead*(p.to-p.from)
}

// append writes the calls, numbered from seq on.
func (p piece) append(dst []byte, field byte, seq uint64) []byte {
	start := p.group.start(p.from)
	for i := p.from; i < p.to; i++ {
		end := p.group.items[i].end
		dst = appendLength(dst, field, 1+protowire.SizeVarint(seq)+end-start)
		dst = appendVarint(appendTag(dst, 1, wireVarint), seq)
		dst = append(dst, p.group.body[start:end]...)
		start = end
		seq++
	}
	return dst
}

// clients calls use for the client of each item, once for a run of the same.
func (p piece) clients(use func(*hook.Client)) {
	var last *hook.Client
	for i := p.from; i < p.to; i++ {
		if c := p.group.items[i].client; c != nil && c != last {
			use(c)
			last = c
		}
	}
}

// frame is what is known of a frame after it was sent: whose items it holds.
type frame struct {
	first    uint64
	n        int
	answered frameBits
	waiting  int // items that are not answered and for which somebody waits
	slots    [maxFrameItems]slotRef
}

// slotRef is an item of a group; the group is nil if nobody waits for it.
type slotRef struct {
	group *group
	item  int
}

// overdueFrame is all that is kept of a frame when the last of its callers has
// gone before all answers came.
type overdueFrame struct {
	first    uint64
	n        int
	answered frameBits
}
