package admission

import "sync/atomic"

// Pressure is how far a [Budget] is used up.
type Pressure uint8

// The levels of pressure. Whoever adds to what is used gives up the more the
// higher it is.
const (
	Relaxed Pressure = iota // within the limit
	Tight                   // up to an eighth beyond it
	Tighter                 // up to a quarter beyond it
	Full                    // further beyond it
)

// Budget is an amount, in bytes, that many share. It counts and says how much is
// used; nobody is kept from using more. The zero value has no limit.
type Budget struct {
	used, limit atomic.Int64
}

// Used is the count, to which its users add and from which they subtract.
func (b *Budget) Used() *atomic.Int64 { return &b.used }

// SetLimit replaces the limit; 0 is none.
func (b *Budget) SetLimit(n int64) { b.limit.Store(n) }

// Exceeded reports whether all of the budget is used. It costs next to nothing.
func (b *Budget) Exceeded() bool {
	limit := b.limit.Load()
	return limit > 0 && b.used.Load() >= limit
}

// Pressure returns how far the budget is used up. It costs next to nothing.
func (b *Budget) Pressure() Pressure {
	limit := b.limit.Load()
	if limit <= 0 {
		return Relaxed
	}
	switch over := b.used.Load() - limit; {
	case over < 0:
		return Relaxed
	case over < limit/8:
		return Tight
	case over < limit/4:
		return Tighter
	default:
		return Full
	}
}
