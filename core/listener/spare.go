package listener

import (
	"fmt"
	"net"
	"os"
	"sync"
)

// ExhaustedError is what Accept returns when the process has no file descriptor
// left. The connections that waited were accepted with one that is kept in
// reserve, and closed at once, so that the clients know and nothing spins. It
// passes: whoever accepts waits a moment and goes on.
type ExhaustedError struct {
	TurnedAway int // connections that were closed
	Err        error
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("%v: %d connections turned away", e.Err, e.TurnedAway)
}

func (e *ExhaustedError) Unwrap() error { return e.Err }

// turnAwayAtOnce bounds the connections that are turned away before Accept
// returns, so that its caller sets the pace.
const turnAwayAtOnce = 256

// spared is a listener with a file descriptor in reserve.
type spared struct {
	net.Listener

	mu     sync.Mutex // guards the fields below
	spare  *os.File   // nil while there is none
	closed bool
}

func newSpared(l net.Listener) *spared {
	s := &spared{Listener: l}
	s.hold()
	return s
}

// hold gets a descriptor to have in reserve, if there is one to be had.
func (s *spared) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare == nil && !s.closed {
		s.spare, _ = os.Open(os.DevNull) // nil if it fails: the next time, then
	}
}

func (s *spared) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare != nil {
		_ = s.spare.Close()
		s.spare = nil
	}
}

// Accept implements net.Listener.
func (s *spared) Accept() (net.Conn, error) {
	nc, err := s.Listener.Accept()
	if err == nil || !outOfDescriptors(err) {
		return nc, err
	}
	turnedAway := 0
	for turnedAway < turnAwayAtOnce {
		s.letGo()
		ok := turnAway(s.Listener)
		s.hold()
		if !ok {
			break
		}
		turnedAway++
	}
	return nil, &ExhaustedError{TurnedAway: turnedAway, Err: err}
}

// Close implements net.Listener.
func (s *spared) Close() error {
	s.letGo()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.Listener.Close()
}
