package session

import (
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Session is the protocol state of one client. Make it with [New]; it must
// not be copied. An idle session is small: what it does not use is not
// allocated.
type Session struct {
	clientID string

	// mu guards the fields below. No callback runs under it.
	mu       sync.Mutex
	limits   Limits
	version  mqtt.Version // of the connection, or of the last one
	ended    bool         // Drain was called
	counted  uint32       // what Limits.Waiting has of the queue
	conn     *connection  // nil while the client is away
	inbound  inbound
	queue    queue
	flight   flight
	filters  subscriptions
	sequence uint64 // of the message that was queued last
	kept     *kept  // nil for a session that dies with the broker
}

// New makes the session of a client that is not connected yet.
func New(clientID string, lim Limits) *Session {
	return &Session{clientID: clientID, limits: lim.withDefaults()}
}

// ClientID returns the client identifier, which never changes.
func (s *Session) ClientID() string { return s.clientID }

// SetLimits replaces the limits. The bounds of the queue and InFlight hold
// from the next message on (nothing is dropped at once); ReceiveMaximum and
// AliasMaximum from the next Attach on, for the client was told the old ones.
func (s *Session) SetLimits(lim Limits) {
	s.mu.Lock()
	s.limits = lim.withDefaults()
	if s.conn != nil {
		s.conn.window = s.conn.offered.window(s.limits)
	}
	s.unlock()
}

// Pending counts the messages that wait plus those in flight: what a
// least-in-flight choice among the members of a share group compares.
func (s *Session) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages, _ := s.waiting()
	return messages + s.flight.count
}

// QueueLen returns how many messages wait to be sent and their size.
func (s *Session) QueueLen() (messages, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting()
}

// InFlight counts the QoS 1 and QoS 2 messages that Next returned and whose
// last acknowledgement has not come.
func (s *Session) InFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight.count
}

// unlock ends a method that may have given the writer something to send: it
// unlocks and then, if the writer sleeps and can go on, wakes it, once.
func (s *Session) unlock() {
	var wake func()
	if c := s.conn; c != nil && c.asleep && s.sendable() {
		c.asleep = false
		wake = c.offered.Wake
	}
	s.count()
	s.mu.Unlock()
	if wake != nil {
		wake()
	}
}
