package hook

import (
	"context"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Observer is told what happened. Observe is called by one goroutine per
// observer, with the events in order; a slow observer loses the oldest events
// and never delays a client. dropped counts the events lost since the last
// call. The slice is only valid during the call; what it points to is
// immutable and may be kept.
type Observer interface {
	Observe(ctx context.Context, events []Event, dropped uint64)
}

// EventKind names what happened.
type EventKind uint8

// The kinds of event.
const (
	Connected EventKind = iota + 1
	Disconnected
	SessionCreated
	SessionResumed
	SessionTakenOver
	SessionExpired
	Subscribed
	Unsubscribed
	Published
	Delivered
	Acknowledged
	Dropped
	NotConsumed
	RetainedChanged
	RetainedCleared
	WillSent
	Refused
	// SnapshotBegins says that what follows, up to SnapshotEnds, takes the
	// place of what was known of connections; each that there is now is
	// Present. Only those get them who ask for [Interest.Snapshot].
	SnapshotBegins
	Present
	SnapshotEnds
	NumEventKinds // one more than the last kind
)

// DisconnectKind says how a connection ended.
type DisconnectKind uint8

// The ways in which a connection ends.
const (
	NotDisconnected DisconnectKind = iota
	ByClient                       // DISCONNECT
	Lost                           // the connection broke
	TakenOver                      // another connection took the session over
	ByServer                       // the broker ended it
)

// Event is one thing that happened.
type Event struct {
	Kind         EventKind
	Time         time.Time
	Client       *Client // nil if no connection is concerned
	ClientID     string
	ConnectionID uint64 // the connection epoch
	Seq          uint64 // grows with every event of one client
	Message      *mqtt.Message
	Subscription mqtt.Subscription
	Code         mqtt.ReasonCode
	Reason       string
	Cause        Cause // of Dropped; of SessionExpired if its queue was full
	Disconnect   DisconnectKind
}

// Cause says why a message was dropped, or a session ended.
type Cause string

// The causes of drops; counters and events use the same words.
const (
	CauseQueueFull     Cause = "queue_full"
	CauseMemory        Cause = "memory" // too much waits in all queues together
	CauseQuota         Cause = "quota"  // the client has used up what it may by day or by month
	CauseExpired       Cause = "expired"
	CauseOffline       Cause = "offline" // QoS 0 for a session without a connection
	CauseTooLarge      Cause = "too_large"
	CauseNotAuthorized Cause = "not_authorized"
	CauseHook          Cause = "hook"    // an interceptor dropped or refused it
	CauseFailed        Cause = "failed"  // an interceptor could not decide
	CauseSession       Cause = "session" // its session ended
	CauseRate          Cause = "rate"
	CauseStore         Cause = "store"          // the retained store did not take it
	CauseFormat        Cause = "payload_format" // the payload is not what its indicator says
	CauseHops          Cause = "hops"           // hooks published on account of each other without end
)
