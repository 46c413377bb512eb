package pluginapi

import (
	"context"
	"time"
)

// Observer is told what happened. Observe is called with batches one after the
// other; dropped counts the events that were lost since the last batch because
// the plugin was slow. An error is logged and counted, nothing else.
type Observer interface {
	Observe(ctx context.Context, events []Event, dropped uint64) error
}

// EventKind names what happened; the numbers are those of the contract.
type EventKind uint8

// The kinds of event.
const (
	EventConnected EventKind = iota + 1
	EventDisconnected
	EventSessionCreated
	EventSessionResumed
	EventSessionTakenOver
	EventSessionExpired
	EventSubscribed
	EventUnsubscribed
	EventPublished
	EventDelivered
	EventAcknowledged
	EventDropped
	EventNotConsumed
	EventRetainedChanged
	EventRetainedCleared
	EventWillSent
	EventRefused
	// EventSnapshotBegins says that what follows, up to EventSnapshotEnds, takes
	// the place of what was known of connections: an EventPresent for each that
	// there is. They come to who asks for [Interest.Snapshot].
	EventSnapshotBegins
	EventPresent
	EventSnapshotEnds
)

// DisconnectKind says how a connection ended; the numbers are those of the
// contract.
type DisconnectKind uint8

// The ways in which a connection ends.
const (
	ByClient  DisconnectKind = iota + 1 // DISCONNECT
	Lost                                // the connection broke
	TakenOver                           // another connection took the session over
	ByServer                            // the broker ended it
)

// Event is one thing that happened.
type Event struct {
	Kind         EventKind
	Time         time.Time
	ClientID     string
	ConnectionID uint64 // larger for a later connection of the same client
	Seq          uint64 // counts the events of one client
	Client       *Client
	Message      *Message      // nil if none is concerned
	Subscription *Subscription // nil if none is concerned
	Code         ReasonCode
	Reason       string
	Cause        string
	Disconnect   DisconnectKind
}
