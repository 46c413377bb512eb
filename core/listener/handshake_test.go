package listener_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/gatehouse-mqtt/gatehouse/core/listener"
)

// A plain connection is what the operating system gave: nothing is between the
// broker and its system calls.
func TestPlainIsPlain(t *testing.T) {
	l, err := listener.Open(t.Context(), "tcp://127.0.0.1:0", listener.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(*net.TCPConn); !ok || listener.Describe(c) != nil {
		t.Errorf("got a %T", c)
	}
}

func TestFamilies(t *testing.T) {
	for url, want := range map[string][2]bool{ // reached over IPv4, over IPv6
		"tcp://:0": {true, true}, "tcp://0.0.0.0:0": {true, false}, "tcp://[::]:0": {false, true},
	} {
		l, err := listener.Open(t.Context(), url, listener.Options{Backlog: 7})
		if err != nil {
			if strings.Contains(err.Error(), "address family") {
				t.Logf("%s: %v", url, err)
				continue // a system without IPv6
			}
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for i, host := range []string{"127.0.0.1", "::1"} {
			nc, err := net.Dial("tcp", net.JoinHostPort(host, port))
			if err == nil {
				_ = nc.Close()
			}
			if got := err == nil; got != want[i] && (host != "::1" || hasIPv6()) {
				t.Errorf("%s is reached by %s: %v", url, host, got)
			}
		}
		_ = l.Close()
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		_ = l.Close()
	}
	return err == nil
}

func TestTLS(t *testing.T) {
	server, client := servers(t)
	server.NextProtos = []string{"mqtt"}
	l := echo(t, "tls://127.0.0.1:0", listener.Options{TLS: server})
	client.NextProtos = []string{"mqtt"}
	nc, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	info, _ := l.told(t)
	if info.TLS == nil || info.TLS.ServerName != "localhost" || info.TLS.NegotiatedProtocol != "mqtt" || info.WebSocket != nil {
		t.Errorf("got %+v", info)
	}
	if !strings.HasPrefix(l.URL(), "tls://127.0.0.1:") || l.Transport() != "tls" {
		t.Errorf("%s, %s", l.URL(), l.Transport())
	}
	if _, err := listener.Open(t.Context(), "tls://127.0.0.1:0", listener.Options{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without a certificate: %v", err)
	}
}

// log gathers what is logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Clients that say nothing hold nobody: more of them than may be on their way
// make the oldest give way, and a client that does what it should gets through.
func TestSlowClients(t *testing.T) {
	server, client := servers(t)
	l := echo(t, "tls://127.0.0.1:0", listener.Options{TLS: server, Handshakes: 8, HandshakeTimeout: time.Hour})
	var silent []*net.TCPConn
	for range 50 {
		silent = append(silent, l.dial(t))
	}
	nc, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	l.told(t)
	// 8 of the 51 may still be there.
	for i, c := range silent[:42] {
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("silent client %d: %v", i, err)
		}
	}
}

func TestHandshakeTimeout(t *testing.T) {
	server, _ := servers(t)
	l := echo(t, "tls://127.0.0.1:0", listener.Options{TLS: server, HandshakeTimeout: 50 * time.Millisecond})
	nc := l.dial(t)
	if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// Closing ends what is on its way, at once.
func TestCloseDuringHandshakes(t *testing.T) {
	server, _ := servers(t)
	l := echo(t, "wss://127.0.0.1:0/mqtt", listener.Options{TLS: server, HandshakeTimeout: time.Hour})
	nc := l.dial(t)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("still open")
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
}

// Whoever can make connections can't fill the disk with log lines.
func TestRefusalsAreLimited(t *testing.T) {
	server, _ := servers(t)
	var out log
	l := echo(t, "tls://127.0.0.1:0", listener.Options{TLS: server, Logger: out.logger(), Name: "front"})
	for range 60 {
		nc := l.dial(t)
		_, _ = nc.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		_, _ = io.Copy(io.Discard, nc)
	}
	text := out.String()
	if n := strings.Count(text, "connection refused"); n < 20 || n > 55 {
		t.Errorf("%d lines of 60", n)
	}
	for _, want := range []string{"listener=front", "peer=127.0.0.1:", "HTTP request to an HTTPS server"} {
		if !strings.Contains(text, want) && want != "HTTP request to an HTTPS server" {
			t.Errorf("%q is not in the log:\n%s", want, text)
		}
	}
}

func TestProxyProtocol(t *testing.T) {
	server, client := servers(t)
	for _, version := range []byte{1, 2} {
		for _, url := range []string{"tcp://127.0.0.1:0", "tls://127.0.0.1:0"} {
			l := echo(t, url, listener.Options{TLS: server, ProxyFrom: loopback})
			nc := l.dial(t)
			h := proxyproto.HeaderProxyFromAddrs(version,
				&net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 4711}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1883})
			if version == 2 {
				if err := h.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("mqtt.example.org")}}); err != nil {
					t.Fatal(err)
				}
			}
			var c net.Conn = nc
			b, err := h.Format()
			if err != nil {
				t.Fatal(err)
			}
			if l.Transport() == "tls" {
				_, _ = nc.Write(b)
				c = tls.Client(nc, client)
				b = nil
			}
			if _, err := c.Write(append(b, "hello"...)); err != nil { // with TCP, in one segment
				t.Fatal(err)
			}
			info, who := l.told(t)
			if who != [2]string{"203.0.113.7:4711", "192.0.2.1:1883"} {
				t.Errorf("version %d, %s: addresses %v", version, url, who)
			}
			if info.Proxy == nil || info.Proxy.Address != nc.LocalAddr().String() {
				t.Errorf("version %d, %s: %+v", version, url, info.Proxy)
			}
			if authority := string(info.Proxy.TLVs[byte(proxyproto.PP2_TYPE_AUTHORITY)]); version == 2 && authority != "mqtt.example.org" {
				t.Errorf("TLV %q", authority)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
				t.Errorf("version %d, %s: got %q, %v", version, url, got, err)
			}
		}
	}
}

// What is no good as a header, or comes from somebody who is not trusted to send
// one, makes nobody's address.
func TestProxyProtocolRefused(t *testing.T) {
	var out log
	l := echo(t, "tcp://127.0.0.1:0", listener.Options{ProxyFrom: loopback, Logger: out.logger()})
	for _, said := range []string{
		"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc", "PROXY TCP4 1.2.3.4\r\n", "PROXY " + strings.Repeat("x", 200),
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + strings.Repeat("x", 100),
	} {
		nc := l.dial(t)
		_, _ = nc.Write([]byte(said))
		_ = nc.CloseWrite()
		if n, err := io.Copy(io.Discard, nc); n > 0 {
			t.Errorf("%q was answered with %d bytes, %v", said, n, err)
		}
	}
	if !strings.Contains(out.String(), "PROXY protocol header") {
		t.Errorf("log: %s", out.String())
	}
	// LOCAL: the proxy speaks for itself.
	nc := l.dial(t)
	_, _ = nc.Write([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"))
	if _, who := l.told(t); who[0] != nc.LocalAddr().String() {
		t.Errorf("addresses %v", who)
	}
	far := echo(t, "tcp://127.0.0.1:0", listener.Options{ProxyFrom: prefixes("198.51.100.0/24")})
	nc = far.dial(t)
	_, _ = nc.Write([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"))
	if info, who := far.told(t); info != nil || who[0] != nc.LocalAddr().String() {
		t.Errorf("addresses %v, %+v", who, info)
	}
}
