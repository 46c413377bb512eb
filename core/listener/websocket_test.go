package listener_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-mqtt/gatehouse/core/listener"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// open opens a WebSocket as another implementation does.
func open(t *testing.T, url string, o *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	c, res, err := websocket.Dial(ctx, url, o)
	if err == nil {
		t.Cleanup(func() { _ = c.CloseNow() })
		c.SetReadLimit(-1)
	}
	return c, res, err
}

func mqttOnly() *websocket.DialOptions { return &websocket.DialOptions{Subprotocols: []string{"mqtt"}} }

// Bytes go there and back whatever their number, however they are cut.
func TestWebSocketCarriesBytes(t *testing.T) {
	server, client := servers(t)
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			l := echo(t, scheme+"://127.0.0.1:0/mqtt", listener.Options{TLS: server})
			o := mqttOnly()
			o.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: client, DisableKeepAlives: true}}
			c, res, err := open(t, l.URL(), o)
			if err != nil {
				t.Fatal(err)
			}
			if got := res.Header.Get("Sec-WebSocket-Protocol"); got != "mqtt" { // [MQTT-6.0.0-4]
				t.Errorf("subprotocol %q", got)
			}
			info, _ := l.told(t)
			if (info.TLS != nil) != (scheme == "wss") || info.WebSocket == nil || info.WebSocket.Path != "/mqtt" {
				t.Errorf("got %+v", info)
			}
			nc := websocket.NetConn(t.Context(), c, websocket.MessageBinary)
			for _, size := range []int{1, 125, 126, 1000, 65535, 65536, 300_000} {
				sent := make([]byte, size)
				_, _ = rand.Read(sent)
				failed := make(chan error, 1)
				go func() {
					_, err := nc.Write(sent)
					failed <- err
				}()
				got := make([]byte, size)
				if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, sent) {
					t.Fatalf("%d bytes: %v", size, err)
				}
				if err := <-failed; err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
				t.Errorf("close: %v", err)
			}
			_ = ctx
		})
	}
}

func TestWebSocketUpgradeRefused(t *testing.T) {
	l := echo(t, "ws://127.0.0.1:0/mqtt", listener.Options{WebSocket: listener.WebSocketOptions{Origins: []string{"https://*.example.org"}}})
	base := strings.TrimSuffix(l.URL(), "/mqtt")
	origin := func(s string) *websocket.DialOptions {
		o := mqttOnly()
		o.HTTPHeader = http.Header{"Origin": {s}}
		return o
	}
	for _, tc := range []struct {
		name, path string
		o          *websocket.DialOptions
		want       int
	}{
		{"good", "/mqtt", mqttOnly(), 101},
		{"old subprotocol", "/mqtt", &websocket.DialOptions{Subprotocols: []string{"mqttv3.1"}}, 101},
		{"among others", "/mqtt", &websocket.DialOptions{Subprotocols: []string{"chat", "mqtt"}}, 101},
		{"query", "/mqtt?token=x", mqttOnly(), 101},
		{"other path", "/other", mqttOnly(), 404},
		{"no subprotocol", "/mqtt", &websocket.DialOptions{}, 400},
		{"other subprotocol", "/mqtt", &websocket.DialOptions{Subprotocols: []string{"chat"}}, 400},
		{"own origin", "/mqtt", origin("http://" + l.Addr().String()), 101},
		{"allowed origin", "/mqtt", origin("https://App.example.org"), 101},
		{"not quite allowed origin", "/mqtt", origin("https://example.org.evil.net"), 403},
		{"null origin", "/mqtt", origin("null"), 403},
		{"foreign origin", "/mqtt", origin("https://evil.net"), 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, res, err := open(t, base+tc.path, tc.o)
			if res == nil || res.StatusCode != tc.want {
				t.Fatalf("got %+v, %v; want %d", res, err, tc.want)
			}
		})
	}
	for _, tc := range []struct{ name, request, want string }{
		{"plain GET", "GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", "426"},
		{"POST", "POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405"},
		{"MQTT", "\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc\n", "400"},
		{"large", "GET /mqtt HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 20_000) + "\r\n\r\n", "431"},
		{"many", "GET /mqtt HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: a\r\n", 20_000) + "\r\n", "431"},
		{"bad key", upgrade("Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"), "400"},
		{"old version", upgrade("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Protocol: mqtt\r\n"), "426"},
		{"body", upgrade("Content-Length: 4\r\n" + goodKey), "400"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nc := l.dial(t)
			go func() { _, _ = nc.Write([]byte(tc.request)) }()
			line, err := bufio.NewReader(nc).ReadString('\n')
			if !strings.HasPrefix(line, "HTTP/1.1 "+tc.want+" ") && !errors.Is(err, io.EOF) && !isReset(err) {
				t.Errorf("got %q, %v", line, err)
			}
		})
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

const goodKey = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"

func upgrade(header string) string {
	return "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" + header + "\r\n"
}

// raw opens a WebSocket by hand.
func (o *opened) raw(t *testing.T) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	nc := o.dial(t)
	if _, err := io.WriteString(nc, upgrade(goodKey)); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(nc)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%+v, %v", res, err)
	}
	return nc, br
}

// masked makes a client's frame, with a length of the shortest form.
func masked(first byte, payload string) string {
	mask := [4]byte{1, 2, 3, 4}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = append(b, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

func TestWebSocketFrames(t *testing.T) {
	l := echo(t, "ws://127.0.0.1:0/mqtt", listener.Options{})
	closed := func(code int) string { return fmt.Sprintf("88 %d", code) }
	for _, tc := range []struct {
		name, sent, want string
	}{
		{"binary", masked(0x82, "abc"), "82 abc"},
		{"parts", masked(0x02, "ab") + masked(0x00, "c") + masked(0x80, "d"), "82 ab"},
		{"empty", masked(0x82, "") + masked(0x82, "x"), "82 x"},
		{"ping", masked(0x89, "are you there"), "8a are you there"},
		{"ping between parts", masked(0x02, "") + masked(0x89, "p") + masked(0x80, ""), "8a p"},
		{"pong", masked(0x8a, "p") + masked(0x82, "x"), "82 x"},
		{"close", masked(0x88, "\x03\xe8bye"), closed(1000)},
		{"close with nothing", masked(0x88, ""), "88"},
		{"close with half a code", masked(0x88, "\x03"), closed(1002)},
		{"close with a code that may not be sent", masked(0x88, "\x03\xed"), closed(1002)},
		{"text", masked(0x81, "abc"), closed(1003)},
		{"unmasked", "\x82\x03abc", closed(1002)},
		{"reserved bit", masked(0xC2, "abc"), closed(1002)},
		{"unknown type", masked(0x83, "abc"), closed(1002)},
		{"unknown control", masked(0x8b, "abc"), closed(1002)},
		{"control in parts", masked(0x09, "abc"), closed(1002)},
		{"long control", masked(0x89, strings.Repeat("x", 126)), closed(1002)},
		{"nothing to continue", masked(0x80, "abc"), closed(1002)},
		{"message in a message", masked(0x02, "") + masked(0x82, "b"), closed(1002)},
		{"length too wide", "\x82\xfe\x00\x03\x00\x00\x00\x00abc", closed(1002)},
		{"length far too wide", "\x82\xff\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00abc", closed(1002)},
		{"negative length", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", closed(1002)},
		{"huge", "\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", closed(1009)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nc, br := l.raw(t)
			for i := range len(tc.sent) { // a byte at a time
				if _, err := nc.Write([]byte{tc.sent[i]}); err != nil {
					break // it has been refused by now
				}
			}
			var head [2]byte
			if _, err := io.ReadFull(br, head[:]); err != nil {
				t.Fatal(err)
			}
			payload := make([]byte, head[1])
			if _, err := io.ReadFull(br, payload); err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%x", head[0])
			if head[0] == 0x88 && len(payload) >= 2 {
				got += fmt.Sprintf(" %d", int(payload[0])<<8|int(payload[1]))
			} else if head[0] != 0x88 {
				// What is echoed may come in pieces.
				got += " " + string(payload)
			}
			if !strings.HasPrefix(tc.want, got) || got == "82 " {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if head[0] == 0x88 {
				if _, err := br.ReadByte(); !errors.Is(err, io.EOF) && !isReset(err) {
					t.Errorf("after the close frame: %v", err)
				}
			}
		})
	}
}

func TestForwardedFor(t *testing.T) {
	l := echo(t, "ws://127.0.0.1:0/mqtt", listener.Options{WebSocket: listener.WebSocketOptions{
		TrustedProxies: append(prefixes("10.0.0.0/8"), loopback...),
	}})
	untrusting := echo(t, "ws://127.0.0.1:0/mqtt", listener.Options{})
	for _, tc := range []struct {
		on           *opened
		header, want string
	}{
		{l, "203.0.113.7", "203.0.113.7:0"},
		{l, "198.51.100.1, 203.0.113.7, 10.1.2.3", "203.0.113.7:0"},
		{l, "10.9.9.9, 10.1.2.3", "10.9.9.9:0"},
		{l, "203.0.113.7:4711", "203.0.113.7:0"},
		{l, "2001:db8::1", "[2001:db8::1]:0"},
		{l, "unknown, 203.0.113.7", "203.0.113.7:0"},
		{l, "203.0.113.7, unknown", "127.0.0.1"},
		{l, "", "127.0.0.1"},
		{untrusting, "203.0.113.7", "127.0.0.1"},
	} {
		o := mqttOnly()
		o.HTTPHeader = http.Header{"X-Forwarded-For": {tc.header}, "Cookie": {"session=1"}}
		if _, _, err := open(t, tc.on.URL(), o); err != nil {
			t.Fatal(err)
		}
		info, who := tc.on.told(t)
		if !strings.HasPrefix(who[0], tc.want) {
			t.Errorf("%q: the peer is %s, want %s", tc.header, who[0], tc.want)
		}
		if info.WebSocket.Header.Get("Cookie") != "session=1" {
			t.Errorf("headers: %v", info.WebSocket.Header)
		}
	}
}

// A read that a deadline ended goes on where it was, in the middle of a header
// as well; a write too.
func TestWebSocketDeadlines(t *testing.T) {
	l, err := listener.Open(t.Context(), "ws://127.0.0.1:0", listener.Options{})
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, err := l.Accept()
		if err == nil {
			accepted <- nc
		}
	}()
	o := &opened{Listener: l}
	nc, br := o.raw(t)
	c := <-accepted
	defer l.Close()
	defer c.Close()

	frame := masked(0x82, strings.Repeat("a", 200))
	var got []byte
	buf := make([]byte, 64)
	for i := range len(frame) {
		_ = c.SetReadDeadline(time.Now().Add(-time.Second))
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("before byte %d: %v", i, err)
		}
		_, _ = nc.Write([]byte{frame[i]})
		if i < 8 {
			continue // of the header
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != strings.Repeat("a", 200) {
		t.Fatalf("got %q", got)
	}

	// More than the socket's buffers hold: the write ends half-way.
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	at := 0
	for at < len(sent) {
		_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := c.Write(sent[at:])
		at += n
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
	}
	if at == len(sent) {
		t.Fatal("nothing was cut")
	}
	done := make(chan error, 1)
	go func() {
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		_, err := c.Write(sent[at:])
		done <- err
	}()
	total := 0
	for total < len(sent) {
		size, err := readHeader(br)
		if err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(br, payload); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(payload, sent[total:total+size]) {
			t.Fatalf("what came behind %d bytes is not what was sent", total)
		}
		total += size
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func readHeader(br *bufio.Reader) (size int, err error) {
	var b [10]byte
	if _, err := io.ReadFull(br, b[:2]); err != nil {
		return 0, err
	}
	if b[0] != 0x82 {
		return 0, fmt.Errorf("frame %x", b[0])
	}
	wide := map[byte]int{126: 2, 127: 8}[b[1]]
	if wide == 0 {
		return int(b[1]), nil
	}
	if _, err := io.ReadFull(br, b[:wide]); err != nil {
		return 0, err
	}
	for _, x := range b[:wide] {
		size = size<<8 | int(x)
	}
	return size, nil
}

func FuzzWebSocketFrames(f *testing.F) {
	f.Add([]byte(masked(0x82, "abc") + masked(0x89, "") + masked(0x88, "\x03\xe8")))
	f.Add([]byte(masked(0x02, "ab") + masked(0x80, "c")))
	l, err := listener.Open(context.Background(), "ws://127.0.0.1:0/mqtt", listener.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Close() })
	f.Fuzz(func(t *testing.T, said []byte) {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		go func() {
			_, _ = io.WriteString(nc, upgrade(goodKey))
			_, _ = nc.Write(said)
			_ = nc.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, nc)
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(c)
		if len(got) > len(said) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes were read of %d, %v", len(got), len(said), err)
		}
	})
}
