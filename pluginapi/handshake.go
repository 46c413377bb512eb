package pluginapi

import (
	"context"
	"math"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// What the broker and its plugins have to agree on. Authors of plugins need none
// of it: Serve does; the broker's plugin host needs all of it.

// Handshake is go-plugin's handshake. The cookie tells a plugin that a broker
// started it and not a person; it is no secret.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "GATEHOUSE_PLUGIN",
	MagicCookieValue: "9f4c1f6e-gatehouse-plugin",
}

// PluginSetName is the one entry of the plugin set; dispensing it gives the
// *grpc.ClientConn.
const PluginSetName = "gatehouse"

// EnvLifeline names the environment variable that holds the number of an open
// file, the read end of a pipe that the broker never writes to. Its end means
// that the broker is gone, however it went, and the plugin exits.
const EnvLifeline = "GATEHOUSE_LIFELINE_FD"

// HealthService is the name under which a plugin reports to be serving in
// grpc.health.v1.
const HealthService = plugin.GRPCServiceName

// Limits of the connection, on both sides. One message has to hold a PUBLISH of
// 256 MiB and what is told with it; the windows let a frame travel without
// waiting for the other side.
const (
	MaxMessageSize = 512 << 20
	WindowSize     = 4 << 20
)

// DialOptions are the broker's options for the connection to a plugin on a Unix
// socket. Where TLS is used, later credentials win.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(WindowSize),
		grpc.WithInitialConnWindowSize(WindowSize),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(MaxMessageSize)),
	}
}

// HostPlugins is go-plugin's VersionedPlugins for the broker's side.
func HostPlugins() map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{
		int(Handshake.ProtocolVersion): {PluginSetName: &GRPCPlugin{}},
	}
}

// GRPCPlugin is the plugin in go-plugin's set, on both sides: it serves through
// a function, and dispenses the connection.
type GRPCPlugin struct {
	plugin.NetRPCUnsupportedPlugin

	// Register registers the services; nil on the broker's side.
	Register func(grpc.ServiceRegistrar)
}

// GRPCServer registers the services. go-plugin calls it once.
func (p *GRPCPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	if p.Register != nil {
		p.Register(s)
	}
	return nil
}

// GRPCClient returns c, a *grpc.ClientConn.
func (p *GRPCPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}
