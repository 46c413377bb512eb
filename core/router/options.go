package router

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Subscriber is one session as the router sees it. The dynamic type must be a
// pointer: the router compares subscribers and uses them as map keys. Its
// methods are called from every goroutine that routes, without any lock of the
// router held; they must be cheap and must not block.
type Subscriber interface {
	// ClientID is the client identifier; No Local compares it with the
	// message's publisher. It never changes.
	ClientID() string

	// Online reports whether a client is connected to the session. Shared
	// groups prefer members that are.
	Online() bool

	// Pending is the number of messages queued and in flight; the strategy
	// LeastInFlight compares it.
	Pending() int
}

// Target is one receiver of one message.
type Target struct {
	Subscriber Subscriber

	// Delivery is ready to be queued: the lower of the published and the
	// granted QoS, the RETAIN flag to send, and the subscriptions that matched.
	Delivery mqtt.Delivery
}

// Strategy is how a shared group chooses the member that gets a message. All
// of them choose among the members that are online, and among the offline ones
// (persistent sessions, which queue it) only if no member is online.
type Strategy uint8

// The strategies.
const (
	// RoundRobin takes one member after the other.
	RoundRobin Strategy = iota

	// Sticky gives all messages of one publisher to the same member for as
	// long as that member is online, so that it sees them in order. When a
	// member comes or goes, only its share of the publishers moves.
	Sticky

	// LeastInFlight takes the member with the fewest messages pending.
	LeastInFlight
)

// String names the strategy as the configuration does.
func (s Strategy) String() string {
	switch s {
	case RoundRobin:
		return "round-robin"
	case Sticky:
		return "sticky"
	case LeastInFlight:
		return "least-in-flight"
	default:
		return "unknown"
	}
}

// Bus carries messages to the other nodes of a cluster. It is the seam for
// clustering; a single broker has none.
type Bus interface {
	// Publish hands m to the other nodes. It is called from every goroutine
	// that publishes, once per message that began its way on this node. m is
	// immutable and may be kept. An error means that some node may not get
	// the message.
	Publish(ctx context.Context, m *mqtt.Message) error
}

// Options are the choices that a router is made with. The zero value is a
// single node that deals shared messages out in turn.
type Options struct {
	// Strategy is how shared groups choose.
	Strategy Strategy

	// Bus is where [Router.Forward] hands messages to. Nil means that there
	// are no other nodes.
	Bus Bus

	// CacheTopics is how many topics the match cache remembers, rounded up
	// to a power of two. Zero means 8192, a negative number none.
	CacheTopics int

	// CacheReceivers bounds the receivers in all remembered topics together,
	// at about 64 bytes each. Zero means 262144.
	CacheReceivers int
}
