package main

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// StartShadow implements admin.Shadows.
func (s *shadows) StartShadow(ctx context.Context, req *adminv1.StartShadowRequest) (*adminv1.Shadow, error) {
	w := shadowWish{plugin: req.GetPlugin(), config: shadowPath(req.GetPath()), lasts: time.Duration(req.GetForNanos())}
	if text := req.GetConfigJson(); len(text) > 0 {
		w.config.Config = text
	}
	x, err := s.start(w)
	if err != nil {
		return nil, err
	}
	select {
	case <-x.ready:
	case <-ctx.Done():
		x.end(errShadowStopped)
		return nil, context.Cause(ctx)
	}
	if x.failure != nil {
		<-x.over // the next may be started
		return nil, x.failure
	}
	return x.read(), nil
}

// Shadow implements admin.Shadows.
func (s *shadows) Shadow(plugin string) (*adminv1.Shadow, error) {
	x, err := s.find(plugin)
	if err != nil {
		return nil, err
	}
	return x.read(), nil
}

// StopShadow implements admin.Shadows.
func (s *shadows) StopShadow(ctx context.Context, plugin string) (*adminv1.Shadow, error) {
	x, err := s.find(plugin)
	if err != nil {
		return nil, err
	}
	x.end(errShadowStopped)
	select {
	case <-x.over:
		return x.last, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// FollowShadow implements admin.Shadows.
func (s *shadows) FollowShadow(ctx context.Context, req *adminv1.FollowShadowRequest, tell func(*adminv1.FollowShadowResponse) error) error {
	x, err := s.find(req.GetPlugin())
	if err != nil {
		return err
	}
	if req.GetStopAfter() {
		defer x.end(errShadowStopped)
	}
	var next uint64
	for {
		part := x.differences.after(&next)
		for _, d := range part.list {
			if err := tell(&adminv1.FollowShadowResponse{Differences: []*adminv1.ShadowDifference{lessOf(d, req.GetRedaction())}, Dropped: part.dropped}); err != nil {
				return err
			}
			part.dropped = 0
		}
		if len(part.list) > 0 {
			continue
		}
		select {
		case <-part.more:
		case <-x.over:
			if x.differences.since(next) {
				continue
			}
			return tell(&adminv1.FollowShadowResponse{Ended: x.last})
		case <-s.life.Done():
			return errStops
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// lessOf is a difference without what is not to be told.
func lessOf(d *adminv1.ShadowDifference, r adminv1.Redaction) *adminv1.ShadowDifference {
	if r != adminv1.Redaction_REDACTION_PAYLOADS {
		return d
	}
	d = proto.CloneOf(d)
	redact(d.GetPlugin(), r)
	redact(d.GetShadow(), r)
	return d
}

// Bounds of the differences that are kept for who follows, or will.
const (
	keptDifferences     = 1024
	keptDifferenceBytes = 16 << 20
)

// differences keeps the latest of them. Its methods may be called from many
// goroutines. What is in it is not changed any more.
type differences struct {
	mu    sync.Mutex // guards the fields below
	list  []*adminv1.ShadowDifference
	first uint64 // the number of list[0]
	bytes int
	more  chan struct{} // closed and replaced when there is one more
}

func newDifferences() *differences { return &differences{more: make(chan struct{})} }

func (d *differences) add(x *adminv1.ShadowDifference) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, x)
	d.bytes += proto.Size(x)
	for len(d.list) > keptDifferences || len(d.list) > 1 && d.bytes > keptDifferenceBytes {
		d.bytes -= proto.Size(d.list[0])
		d.list[0] = nil
		d.list = d.list[1:]
		d.first++
	}
	close(d.more)
	d.more = make(chan struct{})
}

// some are differences that somebody has not seen.
type some struct {
	list    []*adminv1.ShadowDifference
	dropped uint64          // before these
	more    <-chan struct{} // closed when there are more
}

// after returns what is there from the number next on, and moves that behind it.
// Whoever begins with 0 missed nothing by coming late.
func (d *differences) after(next *uint64) some {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := some{more: d.more}
	if *next < d.first {
		if *next > 0 {
			out.dropped = d.first - *next
		}
		*next = d.first
	}
	out.list = append(out.list, d.list[*next-d.first:]...)
	*next = d.first + uint64(len(d.list))
	return out
}

// since reports whether there are differences from the number next on.
func (d *differences) since(next uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.first+uint64(len(d.list)) > next
}
