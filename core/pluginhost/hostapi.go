package pluginhost

import (
	"context"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// ServerAPI is what plugins may ask of the broker, by subject. The methods are
// called from many goroutines; contexts end with the call, and with the plugin
// that made it. A context says what is in hand ([hook.InHandOf]) if the plugin
// is being asked something. What is returned is not changed by either side.
type ServerAPI struct {
	Publisher     Publisher
	Clients       Clients
	Grants        Grants
	Sessions      Sessions
	Subscriptions Subscriptions
	Mailbox       Mailbox
	Retained      Retained
	RetainedEdits RetainedEdits
	Shared        Shared
	SharedEdits   SharedEdits
	Stopper       Stopper
	// NotFound, Invalid, Quota and Unavailable are what the API's errors wrap that
	// mean so; Unavailable passes by itself.
	NotFound, Invalid, Quota, Unavailable error
}

// Publisher publishes.
type Publisher interface {
	// Publish publishes a message of a plugin. A refusal is no error.
	Publish(ctx context.Context, m *mqtt.Message) (Published, error)
}

// Published tells what became of a message: how many sessions it was queued
// for, or that it goes out later, or why it was refused.
type Published struct {
	Receivers int
	Later     bool
	Code      mqtt.ReasonCode
	Reason    string
}

// Stopper shuts the broker down.
type Stopper interface {
	// Stop begins to; it does not wait. Only the first farewell counts.
	Stop(f Farewell)
}

// Farewell is what clients are told when the broker stops.
type Farewell struct {
	Code            mqtt.ReasonCode // zero means what fits best
	Reason          string          // "" means that the server shuts down
	ServerReference string
	User            []mqtt.UserProperty
}

// Clients knows the connected clients.
type Clients interface {
	// List returns up to limit of those whose identifier is above after, in
	// order of identifier.
	List(after string, limit int) []ClientStatus
	// Get describes one; false if it is not connected.
	Get(id string) (ClientStatus, bool)
	// ResetStatistics has the counters of a connection begin at 0 again.
	ResetStatistics(id string) error
	// Disconnect ends a connection and does not wait for that.
	Disconnect(id string, d Disconnection) error
}

// ClientStatus describes a connected client.
type ClientStatus struct {
	*hook.Client
	Connected        time.Time
	LastReceived     time.Time
	PacketsReceived  uint64
	PacketsSent      uint64
	MessagesReceived uint64
	MessagesSent     uint64
	BytesReceived    uint64
	BytesSent        uint64
}

// Disconnection says how a connection is to end.
type Disconnection struct {
	Code            mqtt.ReasonCode // zero means AdministrativeAction
	Reason          string
	ServerReference string
	User            []mqtt.UserProperty
	ConnectionID    uint64 // 0 for any
	DiscardWill     bool
}

// Grants changes what clients may do.
type Grants interface {
	// Revalidate has the validators decide about a connected client anew and
	// returns the filters of the subscriptions that ended by that.
	Revalidate(ctx context.Context, id string) (ended []string, err error)
}

// Sessions knows the sessions, connected or not.
type Sessions interface {
	// List returns up to limit of those whose client identifier is above
	// after, in order of identifier.
	List(after string, limit int) []SessionStatus
	// Get describes one; false if there is none. "" is the server's own.
	Get(id string) (SessionStatus, bool)
	// Delete ends a session and its connection.
	Delete(ctx context.Context, id string) error
	// UpdateItems sets items and removes others, and returns all. "" is the
	// server's own session.
	UpdateItems(id string, set map[string][]byte, remove ...string) (map[string][]byte, error)
}

// SessionStatus describes a session.
type SessionStatus struct {
	ClientID      string
	Username      string
	Mountpoint    string
	Connected     bool
	Created       time.Time
	Disconnected  time.Time     // zero if it is connected
	Expiry        time.Duration // after the connection; negative for never
	Pending       int           // messages queued or in flight
	Subscriptions []mqtt.Subscription
	Items         map[string][]byte
	Durability    hook.Durability // unstated for one that is not kept
}

// Subscriptions subscribes on behalf of clients, connected or not.
type Subscriptions interface {
	// Subscribe returns a code for each subscription.
	Subscribe(ctx context.Context, id string, subs ...mqtt.Subscription) ([]mqtt.ReasonCode, error)
	// Unsubscribe returns a code for each filter.
	Unsubscribe(ctx context.Context, id string, filters ...string) ([]mqtt.ReasonCode, error)
}

// Mailbox is the queues of sessions.
type Mailbox interface {
	// Enqueue puts a message into one session's queue.
	Enqueue(ctx context.Context, id string, m *mqtt.Message) (Enqueued, error)
	// Deliver does, and waits for the receiver.
	Deliver(ctx context.Context, id string, m *mqtt.Message) (Enqueued, error)
	// ClearQueue drops what is queued and returns how many messages that was.
	ClearQueue(id string) (dropped int, err error)
}

// Enqueued tells what became of a message for one session.
type Enqueued struct {
	Queued       bool
	Sent         bool
	PacketID     uint16
	Acknowledged bool
	Code         mqtt.ReasonCode
	Dropped      hook.Cause
}

// Retained reads the retained messages.
type Retained interface {
	// List returns up to limit messages that match a filter ("" for all) and
	// whose topic is above after, in order of topic.
	List(filter, after string, limit int) ([]*mqtt.Message, error)
	// Get returns that of a topic; false if there is none.
	Get(topic string) (*mqtt.Message, bool)
}

// RetainedEdits changes the retained messages, and waits for the store.
type RetainedEdits interface {
	// Put stores one, or removes it if the payload is empty.
	Put(ctx context.Context, m *mqtt.Message) (revision uint64, err error)
	// Delete removes that of a topic, or all that match a filter.
	Delete(ctx context.Context, filter string) (deleted int, err error)
	// Clear removes all.
	Clear(ctx context.Context) (deleted int, err error)
}

// Shared reads the data that plugins share.
type Shared interface {
	// Get returns a value and its version; version 0 says that there is none.
	Get(key string) (value []byte, version uint64)
}

// SharedEdits changes it.
type SharedEdits interface {
	// Put writes a value.
	Put(key string, value []byte) (version uint64, err error)
	// PutIf does if the key has a version, 0 for none.
	PutIf(key string, value []byte, has uint64) (written bool, version uint64, err error)
	// Delete removes a key and reports whether it existed.
	Delete(key string) bool
	// DeleteIf does if the key has a version, and returns the one that it has.
	DeleteIf(key string, has uint64) (deleted bool, version uint64)
}
