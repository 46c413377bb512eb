package store

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// scheduler lets nothing be compacted before the database is open: if opening it
// fails in the end, pebble takes away what a compaction that has begun still uses,
// which ends the process. One compaction runs at a time, and the next when it is
// done, so nobody has to look for one now and then.
type scheduler struct {
	pebble.CompactionScheduler
	open atomic.Bool
}

func newScheduler() *scheduler {
	return &scheduler{CompactionScheduler: pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()}
}

// TrySchedule implements [pebble.CompactionScheduler].
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !s.open.Load() {
		return false, nil
	}
	return s.CompactionScheduler.TrySchedule()
}

// start lets compactions begin. One that waits already begins now.
func (s *scheduler) start() {
	s.open.Store(true)
	if ok, grant := s.TrySchedule(); ok {
		grant.Done()
	}
}
