package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// run opens a stream when there is something to send, serves it until it
// breaks, and so on until ctx ends. Calls that were not sent wait for the next
// stream; if none can be opened they fail.
func (c *coalescer) run(ctx context.Context) {
	defer close(c.ended)
	failures, faults := 0, 0
	for c.awaitCalls(ctx) {
		answered, err := c.serve(ctx)
		if answered {
			failures, faults = 0, 0
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, hook.ErrProtocol) {
			c.stats.protocolErrors.Add(1)
			faults++
			c.fault(err, faults)
		}
		failures++
		if !sleep(ctx, pause(failures)) {
			break
		}
	}
	c.failQueue(c.closedBecause())
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *coalescer) closedBecause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// awaitCalls returns true as soon as there is something to send, false when ctx
// has ended.
func (c *coalescer) awaitCalls(ctx context.Context) bool {
	for {
		c.mu.Lock()
		waiting := c.head != nil
		c.idle = !waiting
		c.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if waiting {
			return true
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// stream is one InterceptStream call. Its fields belong to the goroutine that
// sends, but for replies, which belongs to the one that receives.
type stream struct {
	grpc.ClientStream
	c       *coalescer
	done    <-chan struct{} // closed when nothing can be sent any more
	clients *clientTable
	pieces  []piece
	replies reply
}

// serve opens a stream and uses it until it breaks. It reports whether an
// answer came on it, and why it ended.
func (c *coalescer) serve(ctx context.Context) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	desc := &pluginv1.MessageInterceptorService_ServiceDesc.Streams[0]
	cs, err := c.conn.NewStream(ctx, desc, pluginv1.MessageInterceptorService_InterceptStream_FullMethodName,
		grpc.ForceCodecV2(codec), grpc.MaxCallRecvMsgSize(maxReplyBytes))
	if err != nil {
		err = streamError(err)
		c.failQueue(err)
		return false, err
	}
	c.stats.streams.Add(1)
	c.mu.Lock()
	c.frames.reset()
	c.mu.Unlock()
	s := &stream{ClientStream: cs, c: c, done: ctx.Done(), clients: newClientTable(maxKnownClients, maxKnownClientBytes)}

	received := make(chan struct{})
	var receiveErr error
	go func() {
		defer close(received)
		answered, receiveErr = s.receive()
		cancel() // frees a sender that waits, or is stuck
	}()
	sendErr := s.send()
	if sendErr != nil && !errors.Is(sendErr, io.EOF) {
		cancel() // of our own making; the plugin does not know of it
	}
	<-received
	err = receiveErr
	if sendErr != nil && !errors.Is(sendErr, io.EOF) {
		err = fmt.Errorf("sending: %w", sendErr)
	}
	c.failAway(err)
	return answered, err
}

// failAway fails everything that was sent and not answered.
func (c *coalescer) failAway(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != nil {
		cause = c.closed
	}
	err := fmt.Errorf("%w: %w", hook.ErrLost, cause)
	for _, f := range c.frames.live {
		for i := range f.n {
			if g := f.slots[i].group; g != nil {
				f.slots[i].group = nil
				c.finish(g, err)
			}
		}
		c.frames.recycle(f)
	}
	c.frames.live = c.frames.live[:0]
	c.away = 0
}

// send sends frames until the stream is done. A nil error means that it ended
// at the other goroutine's or the owner's wish; io.EOF, that the stream broke
// and receive knows why.
func (s *stream) send() error {
	var out outgoing
	for {
		s.pieces = s.c.next(s.done, s.pieces[:0])
		if len(s.pieces) == 0 {
			return nil
		}
		s.build(&out)
		s.c.register(s.pieces)
		clear(s.pieces)
		if err := s.SendMsg(&out); err != nil {
			return err
		}
	}
}

// next waits until a frame may be sent and takes its calls; nothing if done is
// closed first.
func (c *coalescer) next(done <-chan struct{}, pieces []piece) []piece {
	for {
		c.mu.Lock()
		if c.head != nil && c.away < maxFramesAway {
			pieces = c.take(pieces)
			c.away++
			c.idle = false
			c.mu.Unlock()
			return pieces
		}
		c.idle = true
		c.mu.Unlock()
		select {
		case <-c.wake:
			// Whoever else is about to call, such as those whose answers have
			// just come, may do so first: half the frames, at no cost to a
			// lonely call.
			runtime.Gosched()
		case <-done:
			return nil
		}
	}
}

// build marshals the frame. Groups are read without the lock: one that is in
// pieces is neither changed nor reused until it has been registered.
func (s *stream) build(out *outgoing) {
	s.clients.begin()
	size, items := 0, 0
	for _, p := range s.pieces {
		p.clients(s.clients.use)
		size += p.size()
		items += p.to - p.from
	}
	out.alloc(size + s.clients.size())
	dst := s.clients.append(*out.buf)
	seq := s.c.frames.next // only this goroutine changes it
	for _, p := range s.pieces {
		dst = p.append(dst, fieldStreamCalls, seq)
		seq += uint64(p.to - p.from)
	}
	*out.buf = dst
	s.c.stats.frames.Add(1)
	s.c.stats.items.Add(uint64(items))
}

// register makes the frame known before it is sent, so that its answers find
// it.
func (c *coalescer) register(pieces []piece) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames.add(pieces)
	c.retire() // if all callers have gone already
}

// retire counts the frames that nobody waits for any more as back. mu is held.
func (c *coalescer) retire() {
	c.away -= c.frames.retire()
}

// receive hands out answers until the stream ends, and says why it did.
func (s *stream) receive() (answered bool, err error) {
	in := incoming{into: &s.replies}
	for {
		if err := s.RecvMsg(&in); err != nil {
			return answered, streamError(err)
		}
		if in.err != nil {
			return answered, illegal("%v", in.err)
		}
		if err := s.c.settle(&s.replies); err != nil {
			return answered, err
		}
		answered = answered || s.replies.parts > 0
	}
}
