package listener

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Gate decides which connections go on, by where they come from, before
// anything is read of them: before a TLS handshake, and right after what tells
// the address where a proxy is in between. Its methods are called by many
// goroutines and must not block.
type Gate interface {
	// Enter says why a connection from an address is refused; it is closed
	// then. nil lets it go on. The address is not valid for Unix sockets.
	// Who refuses logs and counts.
	Enter(from netip.Addr) error
	// Abandon says that a connection that had entered ended before it was
	// accepted, and why.
	Abandon(from netip.Addr, reason error)
}

// Guard sets who is asked about the connections of l, before its first Accept.
// A connection that Accept returns has entered; whoever accepted it knows when
// it ends. It reports whether l can be guarded: all that [Open] returns can.
func Guard(l Listener, g Gate) bool {
	guarded, ok := l.(interface{ guard(Gate) })
	if ok {
		guarded.guard(g)
	}
	return ok
}

// gated is the gate of a listener.
type gated struct {
	gate atomic.Pointer[Gate] // nil for none
}

func (g *gated) guard(gate Gate) { g.gate.Store(&gate) }

func (g *gated) enter(nc net.Conn) bool {
	gate := g.gate.Load()
	return gate == nil || (*gate).Enter(PeerIP(nc)) == nil
}

func (g *gated) abandon(nc net.Conn, reason error) {
	if gate := g.gate.Load(); gate != nil {
		(*gate).Abandon(PeerIP(nc), reason)
	}
}

// PeerIP returns the IP address that a connection comes from, without a zone,
// and IPv4 as such. It is not valid for Unix sockets.
func PeerIP(nc net.Conn) netip.Addr {
	switch a := nc.RemoteAddr().(type) {
	case nil:
		return netip.Addr{}
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	default:
		p, err := netip.ParseAddrPort(a.String())
		if err != nil {
			return netip.Addr{}
		}
		return p.Addr().Unmap().WithZone("")
	}
}

// gatedListener asks the gate about every connection.
type gatedListener struct {
	net.Listener
	gate *gated
}

// Accept implements net.Listener.
func (l gatedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil || l.gate.enter(nc) {
			return nc, err
		}
		_ = nc.Close()
	}
}
