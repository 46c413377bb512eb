package admission

import (
	"sync"
	"time"
)

// Repeats are how often something may happen under one name.
type Repeats struct {
	Times  int // 0: as often as it likes
	Within time.Duration
}

// MaxNames bounds the names that [Repetition] counts at the same time; what
// happens under others meanwhile is not counted.
const MaxNames = 100_000

// Repetition finds names under which something happens too often. Make it with
// [NewRepetition].
type Repetition struct {
	mu     sync.Mutex // guards the fields below
	limit  Repeats
	names  map[string]*repeated
	most   int
	pruned time.Time
}

// repeated counts since a moment.
type repeated struct {
	since time.Time
	times int
}

// NewRepetition makes one that counts.
func NewRepetition(l Repeats) *Repetition {
	return &Repetition{limit: l, names: make(map[string]*repeated), most: MaxNames}
}

// SetLimit replaces the limit. What was counted stays.
func (r *Repetition) SetLimit(l Repeats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = l
	if l.Times <= 0 {
		clear(r.names)
	}
}

// Happened counts, and reports whether it happened more often than may be. The
// count then begins anew.
func (r *Repetition) Happened(name string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit.Times <= 0 {
		return false
	}
	n := r.names[name]
	if n == nil {
		if len(r.names) >= r.most && !r.prune(now) {
			return false
		}
		n = &repeated{since: now}
		r.names[name] = n
	}
	if now.Sub(n.since) >= r.limit.Within {
		n.since, n.times = now, 0
	}
	n.times++
	if n.times <= r.limit.Times {
		return false
	}
	delete(r.names, name)
	return true
}

// prune forgets names of long ago, at most once a second, and reports whether
// there is room.
func (r *Repetition) prune(now time.Time) bool {
	if now.Sub(r.pruned) < time.Second {
		return false
	}
	r.pruned = now
	for name, n := range r.names {
		if now.Sub(n.since) >= r.limit.Within {
			delete(r.names, name)
		}
	}
	return len(r.names) < r.most
}
