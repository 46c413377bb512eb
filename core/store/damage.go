package store

import (
	"errors"
	"log/slog"
	"sync"
)

// stalled are the sessions whose queues stand still, for what is next in them
// can't be read. The zero value is none.
type stalled struct {
	mu       sync.Mutex
	sessions map[uint64]struct{}
}

// note notes whether a session's queue can be read, and reports whether that is
// news.
func (u *stalled) note(number uint64, err error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, was := u.sessions[number]
	switch {
	case err == nil:
		delete(u.sessions, number)
	case u.sessions == nil:
		u.sessions = map[uint64]struct{}{number: {}}
	default:
		u.sessions[number] = struct{}{}
	}
	return was != (err != nil)
}

func (u *stalled) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.sessions)
}

// Unreadable returns how many sessions have queues that stand still, for what is next
// in them can't be read. It may be called from many goroutines.
func (s *Store) Unreadable() int { return s.unreadable.count() }

// wasRead says what came of reading a queue: once when that fails, and once when it
// works again, however often it was tried.
func (s *Store) wasRead(number uint64, err error) {
	if errors.Is(err, errClosed) || !s.unreadable.note(number, err) {
		return
	}
	session := slog.Uint64("session", number)
	if err == nil {
		s.options.Logger.Info("what is queued for a session can be read again", slog.String("folder", s.dir), session)
		return
	}
	s.options.Logger.Error("what is queued for a session can't be read: it waits until that can be, or is cleared",
		slog.String("folder", s.dir), session, slog.Bool("damaged", damaged(err)), slog.Any("error", err))
}
