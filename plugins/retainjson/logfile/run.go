package logfile

import (
	"context"
	"log/slog"
	"time"
)

// compactRetry is how long Run waits after a compaction that failed.
const compactRetry = 30 * time.Second

// Run does the work that is not part of a change, compaction and, with
// [SyncInterval], syncing, until ctx is done. It is called once.
func (s *Store) Run(ctx context.Context) {
	var tick <-chan time.Time
	if s.options.Sync == SyncInterval {
		t := time.NewTicker(s.options.SyncInterval)
		defer t.Stop()
		tick = t.C
	}
	retry := time.NewTimer(0)
	defer retry.Stop()
	wake := s.wake
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			s.Sync()
			continue
		case <-wake:
		case <-retry.C:
			wake = s.wake
		}
		if !s.wasteful() {
			continue
		}
		if err := s.Compact(ctx); err != nil && ctx.Err() == nil {
			wake = nil
			retry.Reset(compactRetry)
		}
	}
}

// Sync forces to the disk what was written, without making changes wait. After
// a failure the next Sync or change writes the file anew.
func (s *Store) Sync() {
	s.mu.Lock()
	switch {
	case s.file == nil || !s.unsynced && !s.suspect:
		s.mu.Unlock()
		return
	case s.suspect:
		// Syncing again would succeed and mean nothing.
		s.status.setWrite(s.log, s.rewrite())
		s.mu.Unlock()
		return
	}
	file := s.acquire()
	s.unsynced = false
	s.mu.Unlock()

	err := file.Sync()
	s.mu.Lock()
	if err != nil && s.file == file {
		s.suspect, s.unsynced = true, true
	}
	s.mu.Unlock()
	if err != nil {
		s.status.setWrite(s.log, err)
	}
	if err := s.drop(file); err != nil {
		s.log.Debug("a file was not closed", slog.Any("error", err))
	}
}

func (s *Store) wasteful() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasGarbage()
}

// hasGarbage reports whether compaction would pay. The caller holds mu.
func (s *Store) hasGarbage() bool {
	garbage := s.end - s.index.live
	return garbage >= s.options.GarbageBytes && float64(garbage) >= s.options.Garbage*float64(s.end)
}

// wakeIfWasteful tells Run. The caller holds mu.
func (s *Store) wakeIfWasteful() {
	if !s.hasGarbage() {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // it has been told
	}
}
