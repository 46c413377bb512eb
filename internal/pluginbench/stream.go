package pluginbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// pipe is a stream of frames, as a broker has one.
type pipe struct {
	// send sends the frame with a number, beginning with 0.
	send func(frame uint64) error
	// end says that no more frames come; the plugin answers what it has, and ends
	// the stream.
	end func() error
	// receive waits for answers and calls done for each frame that they complete.
	// It returns io.EOF at the end of the stream.
	receive func(done func(frame uint64)) error
}

// stream measures frames of which so many are under way at once. open opens the
// stream.
func (b *bench) stream(r Row, open func(ctx context.Context) (*pipe, error)) {
	r.Way = "stream"
	ctx, cancel := context.WithTimeout(b.ctx, b.Duration+30*time.Second)
	defer cancel()
	p, err := open(ctx)
	m := b.begin(r)
	if err != nil {
		b.report(m.end(nil, err))
		return
	}
	f := &flight{room: make(chan struct{}, r.Callers), sent: make(map[uint64]time.Time)}
	var sender sync.WaitGroup
	sender.Go(func() { f.send(ctx, p, m.began.Add(b.Duration)) })
	err = f.receive(p)
	cancel()
	sender.Wait()
	b.report(m.end(f.latencies, err))
}

// flight are the frames that are under way.
type flight struct {
	room chan struct{} // holds a token for each of them

	mu        sync.Mutex // guards the fields below
	sent      map[uint64]time.Time
	latencies []time.Duration
}

// send sends frames until a time, as many at once as there is room for.
func (f *flight) send(ctx context.Context, p *pipe, end time.Time) {
	for frame := uint64(0); ; frame++ {
		select {
		case f.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if now.After(end) {
			_ = p.end()
			return
		}
		f.mu.Lock()
		f.sent[frame] = now
		f.mu.Unlock()
		if p.send(frame) != nil {
			return // receive has the reason
		}
	}
}

// receive takes answers until the stream ends.
func (f *flight) receive(p *pipe) error {
	var wrong error
	for {
		err := p.receive(func(frame uint64) {
			if !f.answered(frame) {
				wrong = fmt.Errorf("an answer to frame %d, which is not under way", frame)
				return
			}
			<-f.room
		})
		switch {
		case wrong != nil:
			return wrong
		case errors.Is(err, io.EOF):
			return f.complete()
		case err != nil:
			return err
		}
	}
}

// answered notes the answer to a frame.
func (f *flight) answered(frame uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent, ok := f.sent[frame]
	if ok {
		f.latencies = append(f.latencies, time.Since(sent))
		delete(f.sent, frame)
	}
	return ok
}

// complete says what was not answered.
func (f *flight) complete() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.sent); n > 0 {
		return fmt.Errorf("the stream ended, and %d frames were not answered", n)
	}
	return nil
}
