package listener

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"

	"github.com/pires/go-proxyproto"
)

// proxyStep reads the PROXY protocol header of connections from some networks.
// From there it has to come; from elsewhere nothing is read, so that nobody else
// can say where it comes from.
func proxyStep(from []netip.Prefix) func(context.Context, net.Conn) (net.Conn, error) {
	return func(_ context.Context, nc net.Conn) (net.Conn, error) {
		if !within(from, nc.RemoteAddr()) {
			return nc, nil
		}
		tc, ok := nc.(*net.TCPConn)
		if !ok {
			return nc, nil
		}
		r := bufio.NewReaderSize(tc, 512)
		h, err := proxyproto.Read(r)
		if err != nil {
			return nil, fmt.Errorf("PROXY protocol header: %w", err)
		}
		return newProxied(tc, r, h)
	}
}

// proxied is a connection by way of a proxy.
type proxied struct {
	*net.TCPConn
	peer, local net.Addr
	about       Info
	early       []byte // what was read beyond the header
}

func newProxied(tc *net.TCPConn, r *bufio.Reader, h *proxyproto.Header) (net.Conn, error) {
	c := &proxied{TCPConn: tc, peer: tc.RemoteAddr(), local: tc.LocalAddr()}
	c.about.Proxy = &Proxy{Address: tc.RemoteAddr().String()}
	if h.Command.IsProxy() {
		// Without an address family ("UNKNOWN") the addresses stay the proxy's.
		if source, dest, ok := h.TCPAddrs(); ok {
			c.peer, c.local = source, dest
		}
	} else if !h.Command.IsLocal() {
		return nil, errors.New("PROXY protocol header: unknown command")
	}
	tlvs, err := h.TLVs()
	if err != nil {
		return nil, fmt.Errorf("PROXY protocol header: %w", err)
	}
	for _, t := range tlvs {
		if c.about.Proxy.TLVs == nil {
			c.about.Proxy.TLVs = make(map[byte][]byte, len(tlvs))
		}
		c.about.Proxy.TLVs[byte(t.Type)] = slices.Clone(t.Value)
	}
	if n := r.Buffered(); n > 0 {
		early, _ := r.Peek(n)
		c.early = slices.Clone(early)
	}
	return c, nil
}

func (c *proxied) info() *Info          { return &c.about }
func (c *proxied) RemoteAddr() net.Addr { return c.peer }
func (c *proxied) LocalAddr() net.Addr  { return c.local }

// Read gives what came with the header first.
func (c *proxied) Read(b []byte) (int, error) {
	if len(c.early) == 0 {
		return c.TCPConn.Read(b)
	}
	n := copy(b, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}

// WriteTo gives what came with the header first, too.
func (c *proxied) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.early)
	if c.early = c.early[n:]; err != nil {
		return int64(n), err
	}
	m, err := c.TCPConn.WriteTo(w)
	return int64(n) + m, err
}

// within reports whether an address is in one of the networks.
func within(list []netip.Prefix, a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && contains(list, tcp.AddrPort().Addr())
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
}
