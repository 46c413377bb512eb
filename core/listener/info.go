package listener

import (
	"crypto/tls"
	"net"
	"net/http"
)

// Info is what the way to MQTT told of a connection. It must not be changed.
type Info struct {
	TLS       *tls.ConnectionState // nil without TLS
	WebSocket *WebSocket           // nil if there is none
	Proxy     *Proxy               // nil without a PROXY protocol header
}

// WebSocket is the HTTP request that opened a WebSocket.
type WebSocket struct {
	Path   string // with query
	Host   string
	Origin string // "" if none was sent
	Header http.Header
}

// Proxy is what a PROXY protocol header told beside the addresses, which are
// those of the connection.
type Proxy struct {
	Address string          // of the proxy itself, "host:port"
	TLVs    map[byte][]byte // of version 2, by type; the last one of a type
}

// Describe tells what is known of a connection that a [Listener] accepted; nil
// if it is a plain one.
func Describe(nc net.Conn) *Info {
	if d, ok := nc.(interface{ info() *Info }); ok {
		return d.info()
	}
	return nil
}
