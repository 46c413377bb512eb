package quota

import (
	"sync"
	"time"
)

// account is what one name has used.
type account struct {
	name string

	mu         sync.Mutex // guards the fields below
	zone       *time.Location
	from, to   int64 // the day it is, in Unix seconds; none at first
	day, month period
	granted    Grant // last
	gone       bool  // not in the ledger any more
}

// period is a day or a month.
type period struct {
	number int // of days since 1970, or of months since the year 0
	used   Amount
	told   notices
}

// notices are what was logged about a period, as a set of bits.
type notices uint8

const (
	nearly  notices = 1 << iota // nine tenths are used
	noRoom                      // something was refused
	nothing notices = 0
)

// roll begins the day and the month that it is. The caller holds mu.
func (a *account) roll(now time.Time) {
	if t := now.Unix(); t >= a.from && t < a.to {
		return
	}
	y, m, d := now.In(a.zone).Date()
	a.from = time.Date(y, m, d, 0, 0, 0, 0, a.zone).Unix()
	a.to = time.Date(y, m, d+1, 0, 0, 0, 0, a.zone).Unix()
	a.day.advance(dayNumber(y, m, d))
	a.month.advance(monthNumber(y, m))
}

func dayNumber(y int, m time.Month, d int) int {
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60))
}

func monthNumber(y int, m time.Month) int { return 12*y + int(m) - 1 }

// advance makes n the current number. A clock that is put back a little, as over
// midnight, stays in the period that had begun, so that nobody gets it twice. If
// it was far ahead, it was wrong then: what was used counts from now on.
func (p *period) advance(n int) {
	switch {
	case n > p.number:
		*p = period{number: n}
	case n < p.number-1:
		p.number = n
	}
}

// zoned makes zone the account's. The caller holds mu.
func (a *account) zoned(zone *time.Location) {
	if a.zone != zone {
		a.zone, a.from, a.to = zone, 0, 0
	}
}

// outcome is what became of one taking.
type outcome struct {
	taken, gone bool
	day, month  notices // to be logged; nothing for most
	used        [2]Amount
}

// take uses something if the limits of g leave room for it.
func (a *account) take(now time.Time, g *Grant, cost Amount) (o outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return outcome{gone: true}
	}
	a.roll(now)
	day, month := a.day.used.plus(cost), a.month.used.plus(cost)
	dayFits, monthFits := day.within(g.Day), month.within(g.Month)
	if o.taken = dayFits && monthFits; o.taken {
		a.day.used, a.month.used = day, month
	}
	o.day = a.day.tell(g.Day, dayFits)
	o.month = a.month.tell(g.Month, monthFits)
	o.used = [2]Amount{a.day.used, a.month.used}
	return o
}

// tell returns what is to be logged, once for each period.
func (p *period) tell(limit Amount, fits bool) notices {
	n := nothing
	switch {
	case !fits:
		n = noRoom
	case p.used.nearly(limit):
		n = nearly
	}
	n &^= p.told
	p.told |= n
	return n
}

func (p *period) untouched() bool { return p.used == Amount{} && p.told == nothing }

// giveBack undoes a taking.
func (a *account) giveBack(cost Amount) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range []*period{&a.day, &a.month} {
		p.used.Bytes -= min(p.used.Bytes, cost.Bytes)
		p.used.Messages -= min(p.used.Messages, cost.Messages)
	}
}

// clear forgets what was used.
func (a *account) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.day.used, a.month.used = Amount{}, Amount{}
	a.day.told, a.month.told = nothing, nothing
}

func (a *account) usage(now time.Time) Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roll(now)
	return Usage{
		Account: a.name, Zone: a.zone.String(), Day: a.day.used, Month: a.month.used,
		DayLimit: a.granted.Day, MonthLimit: a.granted.Month,
	}
}

// leave reports whether nothing needs to be remembered of the account, which is
// then not to be used any more.
func (a *account) leave(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roll(now)
	a.gone = a.month.untouched() && a.day.untouched()
	return a.gone
}
