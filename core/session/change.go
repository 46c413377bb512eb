package session

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Durability says when what a session was promised counts as kept. Nothing that
// was promised is lost when the broker is killed, whichever it is; they differ in
// what a power cut may take.
type Durability uint8

// The durabilities, strictest first.
const (
	// DurabilitySync: when the disk has it.
	DurabilitySync Durability = iota
	// DurabilityInterval: when the operating system has it. The disk has it a
	// moment later.
	DurabilityInterval
	// DurabilityNone: when the operating system has it. Nobody asks when the disk
	// has it.
	DurabilityNone
)

// String names the durability as the configuration does.
func (d Durability) String() string {
	switch d {
	case DurabilitySync:
		return "sync"
	case DurabilityInterval:
		return "interval"
	case DurabilityNone:
		return "none"
	default:
		return "unknown"
	}
}

// ChangeKind says what a Change does.
type ChangeKind uint8

// The kinds of change. Zero is none of them.
const (
	ChangeProfile     ChangeKind = iota + 1 // Profile is what is known of the session
	ChangeEnd                               // the session is no more, nor anything of it
	ChangeSubscribe                         // Subscription was made, or replaced one
	ChangeUnsubscribe                       // the one with the filter of Subscription is gone
	ChangeQueue                             // Delivery waits, at the place Sequence
	ChangeRemove                            // what was at Sequence is done with; Delivery as it was queued, without message
	ChangeSent                              // what is at Sequence and before may have been sent
	ChangeBind                              // what is at Sequence is sent with the identifier ID, QoS 2
	ChangeRelease                           // the PUBREC for it came
	ChangeReceive                           // a QoS 2 message of the client with ID was handled
	ChangeForget                            // the PUBREL for it came
	ChangeClear                             // what is at Sequence to Until is done with
	ChangeRetain                            // see Log.Retain; of no session
)

// Change is one step of a session that is kept, or of the retained messages. Changes
// of one session, and those of the retained messages, come in the order in which
// they were made.
type Change struct {
	Kind ChangeKind
	// Sync says that somebody is promised this change, in a session whose
	// durability is DurabilitySync; Lax that nobody asks for the disk to have it.
	Sync, Lax bool

	ID       uint16
	Session  uint64 // its number
	Sequence uint64 // of ChangeRetain: the revision
	Until    uint64
	Delivery mqtt.Delivery
	Totals   Totals // after it, of ChangeQueue, ChangeRemove and ChangeClear
	Shared   bool   // of ChangeEnd and ChangeClear: there may be shared messages among them

	Bound        []Binding          // of ChangeSent: the messages of QoS 1 among them, by Sequence; immutable
	Subscription *mqtt.Subscription // immutable
	Profile      *Profile           // immutable
}

// Binding is the packet identifier that a message is sent with.
type Binding struct {
	Sequence uint64
	ID       uint16
}

// Profile is what is known of a session beside the state of the protocol. The
// broker looks after it.
type Profile struct {
	ClientID   string
	Principal  string // the user name that it belongs to
	Mountpoint string
	Created    time.Time
	Expiry     uint32    // seconds after the connection; all ones for ever
	Since      time.Time // when the client went away; zero while it is connected
	Durability Durability

	Will      *mqtt.Message // nil for none
	WillDelay time.Duration

	Items    map[string][]byte // never written to
	ByServer []string          // filters of subscriptions that grants do not bind
}

// cost is what a change counts for in the bound of the log.
func (c *Change) cost() int {
	const fixed = 128
	if c.Delivery.Message == nil {
		return fixed
	}
	return fixed + c.Delivery.Message.Size()
}

// promised reports whether somebody waits for the change. What a
// receiver has acknowledged may come back after a power cut: with QoS 1 it is
// delivered again, with QoS 2 its PUBREL is. That a session is to end may stand for
// a message that found no room, whose publisher is told that it was taken.
func (c *Change) promised() bool {
	switch c.Kind {
	case ChangeProfile:
		return c.Profile.Expiry == 0
	case ChangeRemove, ChangeSent:
		return false
	default:
		return true
	}
}
