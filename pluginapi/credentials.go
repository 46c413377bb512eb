package pluginapi

import (
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-mqtt/gatehouse/internal/socket"
)

// socketCredentials are none: the one place where gRPC lets a server that does not
// listen itself have connections of another kind.
type socketCredentials struct {
	credentials.TransportCredentials
}

func newSocketCredentials() credentials.TransportCredentials {
	return socketCredentials{insecure.NewCredentials()}
}

// ServerHandshake is called by gRPC for every connection.
func (c socketCredentials) ServerHandshake(nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.TransportCredentials.ServerHandshake(socket.New(nc))
}

// Clone is called by gRPC.
func (c socketCredentials) Clone() credentials.TransportCredentials {
	return socketCredentials{c.TransportCredentials.Clone()}
}
