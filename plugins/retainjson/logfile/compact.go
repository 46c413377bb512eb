package logfile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// Suffixes of files beside the store's that are in the making.
const (
	compactSuffix = ".tmp"
	rewriteSuffix = ".rewrite"
)

// smallRest is how many bytes may be left to do when changes are made to wait.
const smallRest = 64 << 10

// Compact writes a new file without what is no longer true and puts it in the
// place of the old; if the store is closed it does nothing. Changes go on
// meanwhile and wait only for the last step. Run calls it; there must be one
// caller at a time. After an error the old file is still the store's.
func (s *Store) Compact(ctx context.Context) error {
	s.mu.Lock()
	if s.file == nil {
		s.mu.Unlock()
		return nil
	}
	start, before := s.options.Now(), s.end
	d, err := s.beginDraft(compactSuffix)
	s.mu.Unlock()
	if err == nil {
		err = s.fill(ctx, d)
	}
	s.mu.Lock()
	if err == nil {
		err = s.replace(d)
	}
	after := s.end
	s.endDraft(d)
	s.publish()
	s.mu.Unlock()
	s.status.setCompact(s.log, err)
	if err != nil {
		return fmt.Errorf("compact %s: %w", s.options.Path, err)
	}
	s.status.compactions.Add(1)
	s.log.Debug("file compacted", slog.Int64("bytes_before", before), slog.Int64("bytes_after", after),
		slog.Duration("took", s.options.Now().Sub(start)))
	return nil
}

// rewrite does the same at once, for a file that cannot be trusted any more.
// Messages that cannot be read back are lost and that is said. The caller
// holds mu.
func (s *Store) rewrite() error {
	d, err := s.beginDraft(rewriteSuffix)
	if err == nil {
		err = d.copyMessages(context.Background(), true)
	}
	if err == nil {
		d.upTo = s.end // everything else in the file is of the past
		err = s.replace(d)
	}
	s.endDraft(d)
	if err != nil {
		return fmt.Errorf("write %s anew: %w", s.options.Path, err)
	}
	s.log.Warn("the file was written anew", slog.String("file", s.options.Path),
		slog.Int("messages", s.index.messages))
	return nil
}

// beginDraft opens a file and takes note of what is to go into it; endDraft is
// to be called also after an error. A draft that was begun before is void. The
// caller holds mu.
func (s *Store) beginDraft(suffix string) (*draft, error) {
	d := &draft{path: s.options.Path + suffix, from: s.acquire(), start: s.end, upTo: s.end, clears: s.index.clears}
	d.messages, d.dead = s.index.spots()
	s.index.watched, s.index.fresh = true, nil
	s.draft = d
	f, err := s.files.Open(d.path, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return d, err
	}
	d.file = &handle{File: f, users: 1}
	d.out.file = f
	return d, s.appendHeader(&d.out.buf)
}

// endDraft cleans up after a draft, whether it was put in place or not. The
// caller holds mu.
func (s *Store) endDraft(d *draft) {
	if s.draft == d {
		s.draft = nil
		s.index.watched, s.index.fresh = false, nil
	}
	var err error
	if s.leave(d.from) {
		err = d.from.Close()
	}
	if d.file != nil && !d.placed {
		err = errors.Join(err, d.file.Close(), s.files.Remove(d.path))
	}
	if err != nil {
		s.log.Debug("a file was not closed or removed", slog.String("file", d.path), slog.Any("error", err))
	}
}

// fill writes the draft as far as that goes while changes are being made.
func (s *Store) fill(ctx context.Context, d *draft) error {
	if err := d.copyMessages(ctx, false); err != nil {
		return err
	}
	for range 8 {
		s.mu.Lock()
		end := s.end
		s.mu.Unlock()
		if err := d.copyRest(end); err != nil {
			return err
		}
		if err := d.file.Sync(); err != nil {
			return err
		}
		s.mu.Lock()
		rest := s.end - d.upTo
		s.mu.Unlock()
		if rest <= smallRest {
			break
		}
	}
	return ctx.Err()
}

// replace finishes the draft and makes it the store's file. The caller holds
// mu.
func (s *Store) replace(d *draft) error {
	if s.draft != d || s.file != d.from {
		return errors.New("another file was made meanwhile")
	}
	if err := d.copyRest(s.end); err != nil {
		return err
	}
	if err := d.file.Sync(); err != nil {
		return err
	}
	if err := s.files.Rename(d.path, s.options.Path); err != nil {
		return err
	}
	d.placed = true
	if lost := s.index.move(d, d.out.off-s.end); lost > 0 {
		s.log.Error("messages could not be read back and are lost", slog.Int("messages", lost))
	}
	s.leave(s.file) // d.from keeps it open until endDraft
	s.file, s.end = d.file, d.out.off
	s.suspect, s.unsynced, s.unnamed = false, false, true
	return s.name()
}
