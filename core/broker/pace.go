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
	debt                time.Duration
	last                time.Time
}

// paceSlack is how much a client may burst before it is slowed down.
const paceSlack = time.Second

func (p *pace) set(messages, bytes *float64) {
	if messages != nil && *messages > 0 {
		p.perMessage = time.Duration(float64(time.Second) / *messages)
	}
	if bytes != nil && *bytes > 0 {
		p.perByte = time.Duration(float64(time.Second) / *bytes)
	}
	p.last = time.Now()
}

func (p *pace) count(size int) {
	p.debt += p.perMessage + time.Duration(size)*p.perByte
}

// wait blocks until the client is back within its rates; false if ctx ends.
func (p *pace) wait(ctx context.Context) bool {
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
