package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-mqtt/gatehouse/core/store"
)

// SessionStore is what is read of the store of sessions; [store.Store] is one.
type SessionStore interface{ Stats() store.Stats }

var (
	storeFailing  = gauge("store_failing", "1 while nothing can be written to the store of sessions, else 0.")
	storeFailures = counter("store_failures_total", "How often writing to the store of sessions failed, and it was opened anew.")
	storeSize     = gauge("store_bytes", "Bytes of the files of the store of sessions.")
	storeWaiting  = gauge("store_waiting_changes", "Changes of sessions that are not written yet.")
	storeBatches  = counter("store_batches_total", "Batches that were written to the store of sessions.")
	storeChanges  = counter("store_changes_total", "Changes in those batches.")
	storeStalled  = gauge("store_unreadable_sessions", "Sessions whose queues stand still, for what is next in them can't be read.")
	storeSyncs    = histogram("store_sync_duration_seconds", "How long the disk took to have what was written, which acknowledgements wait for.")
)

// collectSessionStore tells of the store of sessions, if there is one.
func (c *collector) collectSessionStore(ch chan<- prometheus.Metric) {
	if c.from.Sessions == nil {
		return
	}
	s := c.from.Sessions.Stats()
	send(ch, storeFailing, flag(s.Failure != nil))
	send(ch, storeFailures, s.Failures)
	send(ch, storeSize, s.Bytes)
	send(ch, storeWaiting, s.Waiting)
	send(ch, storeBatches, s.Batches)
	send(ch, storeChanges, s.Changes)
	send(ch, storeStalled, s.Unreadable)
	ch <- prometheus.MustNewConstHistogram(storeSyncs.desc, s.Syncs.Count, s.Syncs.Sum.Seconds(), cumulative(store.SyncBounds(), s.Syncs.Buckets))
}

// cumulative are buckets as Prometheus has them: each with all below it.
func cumulative(bounds []time.Duration, buckets []uint64) map[float64]uint64 {
	out := make(map[float64]uint64, len(bounds))
	var sum uint64
	for i, bound := range bounds {
		sum += buckets[i]
		out[bound.Seconds()] = sum
	}
	return out
}
