package admission

import (
	"sync"
	"time"
)

// lineRate is how often a line is written about what may happen any number of
// times.
var lineRate = Rate{PerSecond: 1, Burst: 20}

// Lines bounds how often something is logged that strangers, or a disk, can make
// happen any number of times: 20 lines at once, then one a second. The zero value is ready
// for use.
type Lines struct {
	mu      sync.Mutex // guards the fields below
	used    bucket
	skipped int // since the last line
}

// Turn reports whether a line may be written now, and how many were not since the
// last one.
func (l *Lines) Turn(now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.used.take(lineRate, now) {
		l.skipped++
		return 0, false
	}
	skipped, l.skipped = l.skipped, 0
	return skipped, true
}
