package quota

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// Meter takes from one account under one grant. Its methods may be called from
// many goroutines. It need not be closed.
type Meter struct {
	ledger  *Ledger
	grant   Grant
	account atomic.Pointer[account]
}

// Take uses one message of a size, in bytes, if that is within the grant, and
// reports whether it is. now is the time of the message.
func (m *Meter) Take(now time.Time, bytes int) bool {
	cost := costOf(bytes)
	o := m.account.Load().take(now, &m.grant, cost)
	for o.gone {
		a, err := m.ledger.account(&m.grant)
		if err != nil {
			return false
		}
		m.account.Store(a)
		o = a.take(now, &m.grant, cost)
	}
	if o.taken {
		m.ledger.touched()
	}
	if o.day != nothing {
		m.tell("day", o.day, o.used[0], m.grant.Day)
	}
	if o.month != nothing {
		m.tell("month", o.month, o.used[1], m.grant.Month)
	}
	return o.taken
}

// Usage is what the account has used, with the limits of this meter's grant.
func (m *Meter) Usage(now time.Time) Usage {
	u := m.account.Load().usage(now)
	u.DayLimit, u.MonthLimit = m.grant.Day, m.grant.Month
	return u
}

// HasRoom reports whether one more message of a size, in bytes, is within both
// limits.
func (u *Usage) HasRoom(bytes int) bool {
	cost := costOf(bytes)
	return u.Day.plus(cost).within(u.DayLimit) && u.Month.plus(cost).within(u.MonthLimit)
}

func costOf(bytes int) Amount { return Amount{Bytes: uint64(max(0, bytes)), Messages: 1} }

// tell logs how much of a limit is used.
func (m *Meter) tell(name string, n notices, used, limit Amount) {
	attrs := []any{slog.String("account", m.grant.Account), slog.String("period", name)}
	if limit.Bytes != Unlimited {
		attrs = append(attrs, slog.Uint64("bytes", used.Bytes), slog.Uint64("bytes_limit", limit.Bytes))
	}
	if limit.Messages != Unlimited {
		attrs = append(attrs, slog.Uint64("messages", used.Messages), slog.Uint64("messages_limit", limit.Messages))
	}
	if n&noRoom != 0 {
		m.ledger.log.Warn("quota is used up", attrs...)
		return
	}
	m.ledger.log.Warn("quota is nearly used up", attrs...)
}

// Meters are meters of which each has to agree. The zero value agrees to
// everything.
type Meters []*Meter

// Take is [Meter.Take] of all, or of none.
func (ms Meters) Take(now time.Time, bytes int) bool {
	for i, m := range ms {
		if m.Take(now, bytes) {
			continue
		}
		for _, before := range slices.Backward(ms[:i]) {
			before.account.Load().giveBack(costOf(bytes))
		}
		return false
	}
	return true
}
