package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

const (
	// maxFramesAway is how many frames may be without their answers. Enough to
	// keep both processes busy; more would only make frames smaller.
	maxFramesAway = 4

	// maxQueueBytes bounds what waits to be sent to one plugin.
	maxQueueBytes = 16 << 20

	// maxReplyBytes bounds one answer: room for the largest payloads in use,
	// not for a plugin that runs wild.
	maxReplyBytes = 64 << 20
)

// coalescer carries the batches of many callers to one plugin instance over one
// long-lived stream. While frames are away, calls gather; as soon as one comes
// back they leave together. So a lonely call is sent at once, and under load a
// frame carries as many calls as have come meanwhile: there is no timer.
//
// One goroutine, run, opens the stream, sends, and fails what can't be
// answered; another receives. A caller waits for its own calls only, and no
// longer than its context lasts, whatever the stream does.
type coalescer struct {
	conn  grpc.ClientConnInterface
	stats *streamStats
	// fault is told of every stream that ended with an illegal answer, and how
	// many did in a row.
	fault func(cause error, inARow int)
	stop  context.CancelFunc
	ended chan struct{} // closed when run has returned

	// wake holds a token when run may have something to do.
	wake chan struct{}

	mu         sync.Mutex // guards the fields below
	closed     error      // why no more calls are taken
	head       *group     // the queue of groups with items to send
	tail       *group
	queueBytes int
	idle       bool // run waits for a token
	away       int  // frames that were taken to be sent and are waited for

	frames awayFrames
}

// streamStats counts what happened on the streams of one plugin, over all its
// instances. Its methods and fields may be used by any goroutine.
type streamStats struct {
	streams, frames, items, late, protocolErrors atomic.Uint64
}

// newCoalescer makes a coalescer; it does nothing before start.
func newCoalescer(conn grpc.ClientConnInterface, stats *streamStats, fault func(error, int)) *coalescer {
	return &coalescer{
		conn: conn, stats: stats, fault: fault,
		ended: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// start makes the goroutine that close ends.
func (c *coalescer) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	go c.run(ctx)
}

// close ends the stream, fails everything that is under way and returns when
// no goroutine is left, which takes no longer than it takes to schedule them.
func (c *coalescer) close() {
	c.mu.Lock()
	if c.closed == nil {
		c.closed = errGone
	}
	c.mu.Unlock()
	c.stop()
	<-c.ended
}

// decide carries the calls of g to the plugin and back. When it returns nil,
// the verdicts are in g and g is the caller's alone. After an error the group
// may still be referred to and must be left to the garbage collector.
func (c *coalescer) decide(ctx context.Context, g *group) error {
	if err := c.enqueue(g); err != nil {
		return err
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return c.abandon(ctx, g)
	}
}

func (c *coalescer) enqueue(g *group) error {
	weight := g.weight(0)
	c.mu.Lock()
	if c.closed != nil {
		err := c.closed
		c.mu.Unlock()
		return fmt.Errorf("%w: %w", hook.ErrUnavailable, err)
	}
	// One batch is taken even if it is larger than the queue may be.
	if c.queueBytes > 0 && c.queueBytes+weight > maxQueueBytes {
		c.mu.Unlock()
		return fmt.Errorf("%w: %d bytes wait for it already", hook.ErrUnavailable, maxQueueBytes)
	}
	c.queueBytes += weight
	c.push(g)
	wake := c.wakes()
	c.mu.Unlock()
	if wake {
		c.signal()
	}
	return nil
}

// wakes reports whether run has to be given a token, and takes note that it is
// given one. mu is held.
func (c *coalescer) wakes() bool {
	if !c.idle || c.head == nil || c.away >= maxFramesAway {
		return false
	}
	c.idle = false
	return true
}

// signal gives run a token, unless it has one that it has not seen.
func (c *coalescer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// abandon ends the wait for g, unless its answers have come at the last moment.
func (c *coalescer) abandon(ctx context.Context, g *group) error {
	c.mu.Lock()
	if g.finished {
		c.mu.Unlock()
		<-g.done
		return g.err
	}
	g.finished = true
	c.remove(g)
	sent := g.taken > 0
	if sent {
		c.frames.leave(g)
		c.retire()
	}
	wake := c.wakes()
	c.mu.Unlock()
	if wake {
		c.signal()
	}
	return contextError(ctx, sent)
}

// contextError says what a context that ended means for a call. One that was
// never handed over may be made again.
func contextError(ctx context.Context, sent bool) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && sent:
		return hook.ErrTimeout
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", hook.ErrTimeout, hook.ErrUnavailable)
	case sent:
		return fmt.Errorf("%w: %w", hook.ErrLost, context.Cause(ctx))
	default:
		return fmt.Errorf("%w: %w", hook.ErrUnavailable, context.Cause(ctx))
	}
}

// depth is what waits to be sent and how many frames are away.
func (c *coalescer) depth() (queuedBytes, away int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queueBytes, c.away
}

// push appends g to the queue. mu is held.
func (c *coalescer) push(g *group) {
	g.queued, g.prev, g.next = true, c.tail, nil
	if c.tail == nil {
		c.head = g
	} else {
		c.tail.next = g
	}
	c.tail = g
}

// unlink takes g out of the queue. mu is held.
func (c *coalescer) unlink(g *group) {
	if g.prev == nil {
		c.head = g.next
	} else {
		g.prev.next = g.next
	}
	if g.next == nil {
		c.tail = g.prev
	} else {
		g.next.prev = g.prev
	}
	g.queued, g.prev, g.next = false, nil, nil
}

// remove takes what is left of g out of the queue. mu is held.
func (c *coalescer) remove(g *group) {
	if g.queued {
		c.queueBytes -= g.weight(g.taken)
		c.unlink(g)
	}
}

// take appends to pieces what makes up the next frame. Groups take turns, so
// that a large one does not hold up the others. mu is held.
func (c *coalescer) take(pieces []piece) []piece {
	items, bytes := 0, 0
	for c.head != nil && items < maxFrameItems {
		g := c.head
		p := piece{group: g, from: g.taken, to: g.taken}
		for p.to < len(g.items) && items < maxFrameItems {
			size := g.size(p.to)
			if items > 0 && bytes+size > maxFrameBytes {
				break
			}
			bytes += size
			items++
			p.to++
		}
		if p.from == p.to {
			return pieces
		}
		c.queueBytes -= g.weight(p.from)
		c.unlink(g)
		g.taken = p.to
		if g.taken < len(g.items) {
			c.queueBytes += g.weight(g.taken)
			c.push(g)
		}
		pieces = append(pieces, p)
	}
	return pieces
}

// finish ends the wait for g. mu is held.
func (c *coalescer) finish(g *group, err error) {
	if g.finished {
		return
	}
	g.finished = true
	g.err = err
	c.remove(g)
	g.done <- struct{}{}
}

// failQueue fails everything that was not sent.
func (c *coalescer) failQueue(cause error) {
	unsent := fmt.Errorf("%w: %w", hook.ErrUnavailable, cause)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.head != nil {
		g, err := c.head, unsent
		if g.taken > 0 { // a part of it has been answered
			err = fmt.Errorf("%w: %w", hook.ErrLost, cause)
		}
		c.finish(g, err)
	}
}

// pause is how long to wait before the nth stream in a row that brought no
// answer.
func pause(n int) time.Duration { return min(10*time.Millisecond<<min(n, 10), time.Second) }
