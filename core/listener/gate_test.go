package listener_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/listener"
)

// doorman refuses some addresses and keeps a book.
type doorman struct {
	refuses netip.Addr

	mu                 sync.Mutex
	entered, abandoned []netip.Addr
}

func (d *doorman) Enter(a netip.Addr) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entered = append(d.entered, a)
	if a == d.refuses {
		return errors.New("not you")
	}
	return nil
}

func (d *doorman) Abandon(a netip.Addr, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.abandoned = append(d.abandoned, a)
}

// The gate is asked once about each connection, as soon as it is known where it
// comes from, and before anything else is done for it.
func TestGate(t *testing.T) {
	server, client := servers(t)
	local, far := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("203.0.113.7")
	proxied := func(nc net.Conn) { fmt.Fprintf(nc, "PROXY TCP4 203.0.113.7 127.0.0.1 4711 1883\r\n") }
	upgrade := func(nc net.Conn) {
		fmt.Fprintf(nc, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
	}
	handshake := func(nc net.Conn) { _ = tls.Client(nc, client).Handshake() }
	web := listener.Options{WebSocket: listener.WebSocketOptions{TrustedProxies: loopback}}
	for _, tt := range []struct {
		name  string
		url   string
		o     listener.Options
		begin func(net.Conn)
		asked netip.Addr
	}{
		{"tcp", "tcp://127.0.0.1:0", listener.Options{}, nil, local},
		{"tls", "tls://127.0.0.1:0", listener.Options{TLS: server}, handshake, local},
		{"proxy", "tcp://127.0.0.1:0", listener.Options{ProxyFrom: loopback}, proxied, far},
		{"tls behind a proxy", "tls://127.0.0.1:0", listener.Options{TLS: server, ProxyFrom: loopback}, func(nc net.Conn) { proxied(nc); handshake(nc) }, far},
		{"no trusted proxy", "ws://127.0.0.1:0", listener.Options{}, upgrade, local},
		{"forwarded", "ws://127.0.0.1:0", web, upgrade, far},
	} {
		for _, refuses := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s refused=%v", tt.name, refuses), func(t *testing.T) {
				d := new(doorman)
				if refuses {
					d.refuses = tt.asked
				}
				l, err := listener.Open(t.Context(), tt.url, tt.o)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if !listener.Guard(l, d) {
					t.Fatal("it can't be guarded")
				}
				accepted := make(chan net.Conn, 1)
				go func() {
					if nc, err := l.Accept(); err == nil {
						accepted <- nc
					}
				}()
				nc, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				_ = nc.SetDeadline(time.Now().Add(patience))
				if tt.begin != nil {
					tt.begin(nc)
				}
				if refuses {
					if _, err := io.Copy(io.Discard, nc); timedOut(err) {
						t.Error("it is not closed")
					}
				} else {
					select {
					case nc := <-accepted:
						nc.Close()
					case <-time.After(patience):
						t.Fatal("not accepted")
					}
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				if len(d.entered) != 1 || d.entered[0] != tt.asked || len(d.abandoned) != 0 {
					t.Errorf("asked about %v, abandoned %v", d.entered, d.abandoned)
				}
			})
		}
	}
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Who was refused gets no TLS handshake: that is what costs.
func TestGateBeforeTLS(t *testing.T) {
	server, client := servers(t)
	asked := false
	server = server.Clone()
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { asked = true; return nil, nil }
	l, err := listener.Open(t.Context(), "tls://127.0.0.1:0", listener.Options{TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	listener.Guard(l, &doorman{refuses: netip.MustParseAddr("127.0.0.1")})
	done := make(chan struct{})
	go func() { defer close(done); _, _ = l.Accept() }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if err := tls.Client(nc, client).Handshake(); err == nil {
		t.Error("the handshake went through")
	}
	_ = l.Close()
	<-done
	if asked {
		t.Error("the handshake was begun")
	}
}

// Who entered and did not get as far as MQTT is reported, so that nothing counts
// it any more.
func TestGateAbandon(t *testing.T) {
	server, _ := servers(t)
	d := new(doorman)
	l, err := listener.Open(t.Context(), "tls://127.0.0.1:0", listener.Options{TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	listener.Guard(l, d)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = l.Accept() }()
	var half net.Conn
	for i := range 3 {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(patience))
		if i == 2 {
			half = nc // says nothing until the listener closes
			break
		}
		fmt.Fprintf(nc, "GET / HTTP/1.0\r\n\r\n")
		_, _ = io.Copy(io.Discard, bufio.NewReader(nc))
	}
	for {
		d.mu.Lock()
		n := len(d.entered)
		d.mu.Unlock()
		if n == 3 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	_ = l.Close()
	<-done
	_ = half
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.abandoned) != 3 {
		t.Errorf("entered %v, abandoned %v", d.entered, d.abandoned)
	}
}

func TestPeerIP(t *testing.T) {
	for _, c := range []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1}, "192.0.2.1"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, "fe80::1"},
		{&net.UnixAddr{Name: "@", Net: "unix"}, "invalid IP"},
		{nil, "invalid IP"},
	} {
		if got := listener.PeerIP(addressed{addr: c.addr}).String(); got != c.want {
			t.Errorf("%v: %s", c.addr, got)
		}
	}
}

// addressed is a connection that has nothing but an address.
type addressed struct {
	net.Conn
	addr net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.addr }
