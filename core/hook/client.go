package hook

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Client is what every hook after the CONNECT is told of a client. It is
// immutable and shared by the calls of one connection; hooks may keep it. When
// the validators decide anew about a connection, or the session's items change,
// another one with the same ConnectionID takes its place.
type Client struct {
	ConnectionID uint64
	ID           string
	Username     string // after the validators' override
	Version      mqtt.Version
	PeerAddress  string
	Listener     string
	Mountpoint   string
	Items        map[string][]byte // session items; never written to
	AdmittedBy   []string          // the validators that allowed the connection, in their order; plugins are not told
}
