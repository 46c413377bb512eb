package conformance_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// badWebSocket is what is wrong with WebSockets and what is in them.
var badWebSocket = []bad{
	{id: "F01", run: webSocketSays(frameOf(0x81, connectAs(mqtt.V5, "text")), 1003)},
	{id: "F02", run: foreignSubprotocols},
	{id: "F03", run: packetsAcrossFrames},
	{id: "F04", run: webSocketSays(append([]byte{0x82, 0x10}, wire.Bytes(connectAs(mqtt.V311, "ab"))...), 1002)},
	{id: "F05", run: webSocketSays(frameOf(0xC2, connectAs(mqtt.V5, "bit")), 1002)},
	{id: "F+opcode", run: webSocketSays(frameOf(0x83, connectAs(mqtt.V5, "op")), 1002)},
	{id: "F+ping.large", run: webSocketSays(frameOf(0x89, `61*126`), 1002)},
	{id: "F09", run: hugeFrames},
	{id: "F10", run: closeInPublish},
	{id: "F11", run: largeRequest},
	{id: "F13", run: emptyContinuations},
	{id: "F+pings", run: unreadPings},
}

// frameOf is a client's frame, whose payload is in the notation of package wire.
func frameOf(first byte, notation string) []byte {
	payload := wire.Bytes(notation)
	b := []byte{first, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		b = []byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload))}
	}
	mask := []byte{0xde, 0xad, 0xbe, 0xef}
	b = append(b, mask...)
	for i, x := range payload {
		b = append(b, x^mask[i%4])
	}
	return b
}

const webSocketRequest = "GET /mqtt HTTP/1.1\r\nHost: broker\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

// rawWebSocket opens a WebSocket by hand.
func rawWebSocket(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(brokertest.Patience))
	br := bufio.NewReader(nc)
	if res := request(t, nc, br, webSocketRequest+"Sec-WebSocket-Protocol: mqtt\r\n\r\n"); res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the request was answered with %s", res.Status)
	}
	return nc, br
}

func request(t *testing.T, nc net.Conn, br *bufio.Reader, text string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func webAddr(b *brokertest.Broker) string {
	return b.Listen("ws://127.0.0.1:0/mqtt", listener.Options{}).Addr().String()
}

// webSocketSays expects to be told a code and the end.
func webSocketSays(said []byte, code int) func(*testing.T, *brokertest.Broker) {
	return func(t *testing.T, b *brokertest.Broker) {
		nc, br := rawWebSocket(t, webAddr(b))
		if _, err := nc.Write(said); err != nil {
			t.Fatal(err)
		}
		expectClose(t, br, code)
	}
}

// expectClose reads a close frame, and the end of the connection.
func expectClose(t *testing.T, br *bufio.Reader, code int) {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		t.Fatal(err)
	}
	if got := int(head[2])<<8 | int(head[3]); head[0] != 0x88 || got != code {
		t.Errorf("got frame %x and %d, want a close frame with %d", head[0], got, code)
	}
	if _, err := io.Copy(io.Discard, br); err != nil && !closedByPeer(err) {
		t.Errorf("the connection ended with %v", err)
	}
}

func closedByPeer(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

func foreignSubprotocols(t *testing.T, b *brokertest.Broker) {
	addr := webAddr(b)
	for _, offered := range []string{"", "Sec-WebSocket-Protocol: chat\r\n", "Sec-WebSocket-Protocol: mqtt5, MQTT\r\n"} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(brokertest.Patience))
		res := request(t, nc, bufio.NewReader(nc), webSocketRequest+offered+"\r\n")
		if res.StatusCode != http.StatusBadRequest || res.Header.Get("Sec-WebSocket-Protocol") != "" {
			t.Errorf("%q was answered with %s, %v", offered, res.Status, res.Header)
		}
		_ = nc.Close()
	}
}

func packetsAcrossFrames(t *testing.T, b *brokertest.Broker) {
	nc, br := rawWebSocket(t, webAddr(b))
	connect := wire.Bytes(connectAs(mqtt.V311, "cut"))
	whole := append(connect, wire.Bytes(`c0 00 c0 00`)...)
	cut := len(connect) - 3
	for i, part := range [][]byte{whole[:cut], whole[cut:]} {
		var notation strings.Builder
		for _, x := range part {
			notation.WriteString(" " + hex2(x))
		}
		if _, err := nc.Write(frameOf([]byte{0x82, 0x82}[i], notation.String())); err != nil {
			t.Fatal(err)
		}
	}
	expectBytes(t, br, `20 02 00 00 d0 00 d0 00`) // CONNACK and two PINGRESPs
}

// expectBytes reads short frames until what is in them is as long as it should
// be, and compares.
func expectBytes(t *testing.T, br *bufio.Reader, notation string) {
	t.Helper()
	want := wire.Bytes(notation)
	var got []byte
	for len(got) < len(want) {
		var head [2]byte
		if _, err := io.ReadFull(br, head[:]); err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, head[1])
		if _, err := io.ReadFull(br, payload); err != nil || head[0] != 0x82 {
			t.Fatalf("frame %x, %v", head[0], err)
		}
		got = append(got, payload...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func hex2(x byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[x>>4], digits[x&15]})
}

// Frames that announce more than there is memory.
func hugeFrames(t *testing.T, _ *brokertest.Broker) {
	p := startProcess(t)
	p.staysWithin(t, 64, func(*brokertest.Broker) {
		for range 60 {
			nc, br := rawWebSocket(t, p.web)
			if _, err := nc.Write([]byte{0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}); err != nil {
				t.Fatal(err)
			}
			expectClose(t, br, 1009)
			// As much as is let through, of which nearly nothing comes.
			nc, _ = rawWebSocket(t, p.web)
			if _, err := nc.Write([]byte{0x82, 0xff, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x10, 0xff, 0xff, 0x00}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func closeInPublish(t *testing.T, b *brokertest.Broker) {
	nc, br := rawWebSocket(t, webAddr(b))
	if _, err := nc.Write(frameOf(0x82, connectAs(mqtt.V311, "broken off"))); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, br, `20 02 00 00`) // CONNACK
	if _, err := nc.Write(append(frameOf(0x82, `30 8020 000161`), frameOf(0x88, `03e8`)...)); err != nil {
		t.Fatal(err)
	}
	expectClose(t, br, 1000)
}

func largeRequest(t *testing.T, b *brokertest.Broker) {
	nc, err := net.Dial("tcp", webAddr(b))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(brokertest.Patience))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(nc, webSocketRequest+"X-Large: "+strings.Repeat("a", 1<<20)+"\r\n\r\n")
	}()
	answer, err := io.ReadAll(nc)
	if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 431 ")) || err != nil && !closedByPeer(err) {
		t.Errorf("got %.100q, %v", answer, err)
	}
	_ = nc.Close()
	<-sent
}

func emptyContinuations(t *testing.T, b *brokertest.Broker) {
	nc, br := rawWebSocket(t, webAddr(b))
	said := frameOf(0x02, connectAs(mqtt.V311, "empty"))
	for range 20_000 {
		said = append(said, frameOf(0x00, ``)...)
	}
	said = append(said, frameOf(0x80, `c0 00`)...)
	if _, err := nc.Write(said); err != nil {
		t.Fatal(err)
	}
	expectBytes(t, br, `20 02 00 00 d0 00`) // CONNACK and PINGRESP
}

// Pings whose answers nobody reads fill no memory, and hold nobody else.
func unreadPings(t *testing.T, _ *brokertest.Broker) {
	p := startProcess(t)
	p.staysWithin(t, 32, func(*brokertest.Broker) {
		nc, _ := rawWebSocket(t, p.web)
		one := frameOf(0x89, `61*100`)
		many := bytes.Repeat(one, 1000)
		_ = nc.SetWriteDeadline(time.Now().Add(2 * time.Second))
		for range 500 { // 53 MB
			if _, err := nc.Write(many); err != nil {
				break // it is not read any more, or closed
			}
		}
	})
}
