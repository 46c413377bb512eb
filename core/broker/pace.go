package broker

import (
	"context"
	"time"
)

// pace slows a client down to the rates that a validator set: after each read
// the connection is left alone for as long as what came was too much. The zero
// value sets no limit. It belongs to the reader.
type pace struct {
	perMessage, perByte time.Duration
	limits              *connLimits // from which the rates are
	debt                time.Duration
	last                time.Time
}

// paceSlack is how much a client may burst before it is slowed down.
const paceSlack = time.Second

// follow takes over the rates of l. What the client owes by the old ones stays.
func (p *pace) follow(l *connLimits) {
	if p.limits == l {
		return
	}
	if p.perMessage == 0 && p.perByte == 0 {
		p.last = time.Now()
	}
	p.limits, p.perMessage, p.perByte = l, 0, 0
	if r := l.messageRate; r != nil && *r > 0 {
		p.perMessage = time.Duration(float64(time.Second) / *r)
	}
	if r := l.byteRate; r != nil && *r > 0 {
		p.perByte = time.Duration(float64(time.Second) / *r)
	}
}

func (p *pace) count(size int) {
	p.debt += p.perMessage + time.Duration(size)*p.perByte
}

// wait blocks until the client is back within the rates of l; false if ctx
// ends.
func (p *pace) wait(ctx context.Context, l *connLimits) bool {
	p.follow(l)
	if p.perMessage == 0 && p.perByte == 0 {
		return true
	}
	now := time.Now()
	p.debt = max(0, p.debt-now.Sub(p.last))
	p.last = now
	if p.debt <= paceSlack {
		return true
	}
	t := time.NewTimer(p.debt - paceSlack)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
