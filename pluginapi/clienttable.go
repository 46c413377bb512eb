package pluginapi

import (
	"errors"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// errUnknownClient is the answer to a call of a connection that the broker has
// not told of. A hook that decides by client must not take it for nobody.
var errUnknownClient = errors.New("call of a connection that this plugin was not told of")

// clientTable knows the clients of a stream or of a request. It is used by one
// goroutine.
type clientTable struct {
	known  map[uint64]*knownClient
	nobody lately // of the calls of no connection

	// The last one that was looked for: calls of one client come together.
	last     *knownClient
	lastOnes uint64 // its connection
}

type knownClient struct {
	client *Client
	lately lately
}

// lately is what a client's last message said. Clients repeat themselves, and
// what is repeated needs no memory.
type lately struct{ topic, publisher string }

func newClientTable() *clientTable { return &clientTable{known: make(map[uint64]*knownClient)} }

func (t *clientTable) add(c *pluginv1.ClientContext) {
	client := clientFromProto(c)
	t.last = nil
	t.known[client.ConnectionID] = &knownClient{client: client, lately: lately{publisher: client.ID}}
}

func (t *clientTable) forget(connections []uint64) {
	t.last = nil
	for _, id := range connections {
		delete(t.known, id)
	}
}

// find returns what is known of a connection, or nil.
func (t *clientTable) find(connection uint64) *knownClient {
	if t.last == nil || t.lastOnes != connection {
		t.last, t.lastOnes = t.known[connection], connection
	}
	return t.last
}

// of returns the client of a connection, nil for 0, which is none.
func (t *clientTable) of(connection uint64) (*Client, error) {
	if connection == 0 {
		return nil, nil
	}
	k := t.find(connection)
	if k == nil {
		return nil, errUnknownClient
	}
	return k.client, nil
}

// lately returns the memory of a connection.
func (t *clientTable) lately(connection uint64) *lately {
	if k := t.find(connection); k != nil {
		return &k.lately
	}
	return &t.nobody
}
