package bucket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// attempts is how often a batch is planned anew because something was written
// meanwhile: by an answer of an earlier one that did not come, for example.
const attempts = 3

// Apply stores the changes that are new, all or none, and returns the highest
// revision that is stored. More changes than a server takes together, 1000 less
// the head, are stored in several batches, in order. After an error nobody knows
// what is stored; the changes may come again, and are looked up first.
func (s *Store) Apply(ctx context.Context, changes []pluginapi.Change) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errClosed
	}
	before := s.now()
	err := s.apply(ctx, changes)
	s.status.wrote(s.log, err)
	if err != nil {
		return 0, err
	}
	s.status.applied(len(changes), s.now().Sub(before))
	s.index.sweep(s.now())
	s.status.numbers(s.index)
	return s.index.revision, nil
}

func (s *Store) apply(ctx context.Context, changes []pluginapi.Change) error {
	for range attempts {
		if s.suspect {
			if err := s.catchUp(ctx); err != nil {
				return err
			}
		}
		if s.index.head.Writer != s.writer {
			return fmt.Errorf("%w: it is %s since %s; only one broker may use a bucket, so give this one another, or start the plugin again to take this one back",
				errTaken, s.index.head.Writer, s.index.head.Since.Format(time.RFC3339))
		}
		p, err := newPlan(s.index, changes, limits{s.conn.largest(&s.config), s.config.RememberDeletions, s.now()})
		if err != nil || p.empty() {
			return err
		}
		if err = s.write(ctx, p); !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return fmt.Errorf("%w again and again", errOvertaken)
}

// write stores what a plan says. The head goes with the first batch: what it
// says of revisions may be ahead of the rest, which comes again if it fails.
func (s *Store) write(ctx context.Context, p *plan) error {
	steps := p.steps
	h, headed := s.index.head, p.changesHead()
	if headed {
		h = p.nextHead(h, s.index.revision, s.index.last+1)
	}
	for headed || len(steps) > 0 {
		n := min(len(steps), maxBatch-1)
		msgs := messages(steps[:n], s.conn.subject, s.config.RememberDeletions)
		if headed {
			m, err := headMessage(h, s.conn.subject)
			if err != nil {
				return err
			}
			msgs = append(msgs, m)
		}
		if err := s.publish(ctx, msgs); err != nil {
			return err
		}
		if headed {
			s.index.setHead(h)
			s.unpurged = s.unpurged || p.floor > 0
			headed = false
		}
		for i := range steps[:n] {
			s.index.record(steps[i].key, steps[i].entry)
		}
		steps = steps[n:]
	}
	return s.purge(ctx)
}

// publish stores one batch. What an error leaves open is found out before the
// next.
func (s *Store) publish(ctx context.Context, msgs []*nats.Msg) error {
	last, err := s.conn.publish(ctx, msgs, s.index.last)
	if err != nil {
		s.suspect = true
		return err
	}
	s.index.last = last
	return nil
}
