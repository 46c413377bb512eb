package logfile

import (
	"bytes"
	"context"
	"fmt"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// batch collects the lines of one Apply. It is kept for its memory.
type batch struct {
	lines []*line
	sizes []int64
	text  bytes.Buffer
	// overlay holds the revisions that the batch itself gives to topics, and
	// floor that of a clear in it.
	overlay map[string]uint64
	floor   uint64
}

// keepBuffer is the largest buffer that is kept for the next batch.
const keepBuffer = 4 << 20

func (b *batch) reset() {
	clear(b.lines)
	b.lines, b.sizes, b.floor = b.lines[:0], b.sizes[:0], 0
	clear(b.overlay)
	if b.text.Cap() > keepBuffer {
		b.text = bytes.Buffer{}
	}
	b.text.Reset()
}

// Apply writes the changes that are new, all or none, and returns the highest
// revision that is stored. With [SyncAlways] they are on the disk when it
// returns nil. After an error none of them is applied and they may come again.
func (s *Store) Apply(ctx context.Context, changes []pluginapi.Change) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return 0, errClosed
	}
	err := s.apply(changes)
	s.status.setWrite(s.log, err)
	if err != nil {
		s.status.failures.Add(1)
		return 0, err
	}
	s.publish()
	s.wakeIfWasteful()
	return s.index.revision, nil
}

func (s *Store) apply(changes []pluginapi.Change) error {
	if s.suspect {
		if err := s.rewrite(); err != nil {
			return err
		}
	}
	if err := s.name(); err != nil {
		return err
	}
	b := &s.batch
	b.reset()
	if err := s.plan(b, changes); err != nil || len(b.lines) == 0 {
		return err
	}
	if err := b.encode(); err != nil {
		return err
	}
	if err := s.write(b.text.Bytes()); err != nil {
		return err
	}
	off := s.end
	for i, l := range b.lines {
		s.index.record(&l.key, off, b.sizes[i])
		off += b.sizes[i]
	}
	s.end = off
	s.status.changes.Add(uint64(len(b.lines)))
	return nil
}

// plan makes lines of the changes that are not yet known.
func (s *Store) plan(b *batch, changes []pluginapi.Change) error {
	for i := range changes {
		l, err := newLine(&changes[i])
		if err != nil {
			return fmt.Errorf("change %d of revision %d: %w", i, changes[i].Revision, err)
		}
		if l.Op == opClear {
			if l.Rev <= max(s.index.floor, b.floor) {
				continue
			}
			b.floor = l.Rev
		} else {
			if l.Rev <= max(b.overlay[l.Topic], b.floor) || s.index.stale(l.Topic, l.Rev) {
				continue
			}
			b.overlay[l.Topic] = l.Rev
		}
		b.lines = append(b.lines, l)
	}
	return nil
}

func (b *batch) encode() error {
	n := len(b.lines)
	for i, l := range b.lines {
		if n > 1 {
			l.Batch = [2]int{i + 1, n}
		}
		before := b.text.Len()
		if err := appendLine(&b.text, l); err != nil {
			return err
		}
		b.sizes = append(b.sizes, int64(b.text.Len()-before))
	}
	return nil
}

// write puts text at the end of the file and makes it as durable as the policy
// says. After a failure the file is as before, or suspect. The caller holds mu.
func (s *Store) write(text []byte) error {
	if _, err := s.file.WriteAt(text, s.end); err != nil {
		if cut := s.file.Truncate(s.end); cut != nil {
			s.suspect = true
		}
		return fmt.Errorf("write %s: %w", s.options.Path, err)
	}
	s.unsynced = true
	if s.options.Sync != SyncAlways {
		return nil
	}
	return s.sync()
}
