package broker

import (
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
)

// maxRun bounds the publishes that are handled together: what a plugin is asked
// in one frame.
const maxRun = 256

// inbound is one PUBLISH on its way through the broker.
type inbound struct {
	id        uint16
	qos       mqtt.QoS // of the packet: the acknowledgement's
	duplicate bool     // QoS 2, already handled: answer again
	lent      int      // its number in the loan, from 1; 0: it is not lent
	call      hook.Call
	asked     *mqtt.Message // what interceptors were asked about
	receivers int
	kept      bool  // it is in queues that outlive the broker, or retained in their log
	retained  bool  // it is, if that was wanted
	trace     Trace // nil: it is not followed
}

// run is a run of PUBLISH packets that one read brought. They are authorised,
// intercepted, stored, routed and acknowledged together and in order.
type run struct {
	items   []inbound
	calls   []*hook.Call
	targets []router.Target
	events  []hook.Event
	now     time.Time // when what is being handled was read
	arrived tally     // of that
	parcel  parcel    // publishes that are passed on as they came
	loan    loan      // those that are shown to interceptors before

	unsettled uint64 // the revision of a retained message that has to be waited for; 0 for none
	followed  bool   // some of the items are
}

// runs are those that no connection needs: one holds its run while it handles
// what a read brought, so that it has none when it is idle.
var runs = sync.Pool{New: func() any { return new(run) }}

// keepTargets bounds what a run may keep room for.
const keepTargets = 4096

// giveBack lets another connection have the run.
func (r *run) giveBack() {
	if cap(r.targets) > keepTargets {
		r.targets = nil
	}
	runs.Put(r)
}

// next makes room for another item, which is empty.
func (r *run) next() *inbound {
	if len(r.items) == cap(r.items) {
		r.items = slices.Grow(r.items, 1)
	}
	r.items = r.items[:len(r.items)+1]
	return &r.items[len(r.items)-1]
}
