package broker

import (
	"context"
	"net"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// pace slows a client down to its rates: after each read the connection is left
// alone for as long as what came was too much. Nil sets no limit. It belongs to the
// reader.
type pace struct {
	perMessage, perByte time.Duration
	limits              *connLimits   // from which the rates are
	messages, bytes     time.Duration // what is owed, by each rate
	last                time.Time
}

// paceSlack is how much a client may burst before it is slowed down.
const paceSlack = time.Second

// follow returns the pace with the rates of l. What the client owes by the old ones
// stays.
func (p *pace) follow(l *connLimits, now time.Time) *pace {
	if p == nil {
		if !l.rated() {
			return nil
		}
		p = new(pace)
	}
	if p.limits == l {
		return p
	}
	if p.perMessage == 0 && p.perByte == 0 {
		p.last = now
	}
	p.limits, p.perMessage, p.perByte = l, 0, 0
	if l.messageRate > 0 {
		p.perMessage = time.Duration(float64(time.Second) / l.messageRate)
	}
	if l.byteRate > 0 {
		p.perByte = time.Duration(float64(time.Second) / l.byteRate)
	}
	return p
}

func (p *pace) count(size int) {
	if p == nil {
		return
	}
	p.messages += p.perMessage
	p.bytes += time.Duration(size) * p.perByte
}

// due returns how long the client is left alone to be back within its rates.
func (p *pace) due(now time.Time) time.Duration {
	if p == nil || p.perMessage == 0 && p.perByte == 0 {
		return 0
	}
	passed := now.Sub(p.last)
	p.messages, p.bytes = max(0, p.messages-passed), max(0, p.bytes-passed)
	p.last = now
	return max(0, max(p.messages, p.bytes)-paceSlack)
}

// keepPace blocks until the client is back within its rates. One that has sent
// far more at once than it may is not left unanswered for so long: it has to go.
func (c *conn) keepPace() *ending {
	l := c.limits.Load()
	if c.pace == nil && !l.rated() {
		return nil
	}
	now := time.Now()
	c.pace = c.pace.follow(l, now)
	wait := c.pace.due(now)
	if wait == 0 {
		return nil
	}
	c.b.stats.heldBack.Add(1)
	if wait > c.b.limits().RatePatience {
		return &ending{kind: hook.ByServer, code: mqtt.MessageRateTooHigh, reason: "it publishes far faster than it may"}
	}
	if !pause(c.ctx, wait) {
		return c.readFailed(net.ErrClosed)
	}
	return nil
}

// pause waits; false if ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
