package conformance_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/coder/websocket"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// openWebSocket opens a WebSocket as another implementation does.
func openWebSocket(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
	defer cancel()
	c, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		Subprotocols: []string{"mqtt"},
		HTTPClient:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	if got := res.Header.Get("Sec-WebSocket-Protocol"); got != "mqtt" { // [MQTT-6.0.0-4]
		t.Errorf("the subprotocol is %q", got)
	}
	return c
}

// framed writes everything in frames of a few bytes, or in one, and only takes
// binary frames [MQTT-6.0.0-1].
type framed struct {
	net.Conn
	c    *websocket.Conn
	size int
}

func (f *framed) Write(b []byte) (n int, err error) {
	for n < len(b) {
		piece := b[n:min(len(b), n+f.size)]
		if err := f.c.Write(context.Background(), websocket.MessageBinary, piece); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

// Packets and frames have nothing to do with each other [MQTT-6.0.0-2].
func TestWebSocketFraming(t *testing.T) {
	for _, v := range versions {
		for _, size := range []int{1, 3, 1 << 20} {
			b := brokertest.Start(t, broker.Options{})
			l := b.Listen("ws://127.0.0.1:0/mqtt", listener.Options{})
			wc := openWebSocket(t, l.URL())
			nc := websocket.NetConn(context.Background(), wc, websocket.MessageBinary)
			c := b.Over(&framed{Conn: nc, c: wc, size: size}, v)
			// All in one segment of the client's, before CONNACK.
			c.Send(
				&packet.Connect{Version: v, CleanStart: true, ClientID: "web", RequestProblemInfo: true, ReceiveMaximum: 65535},
				&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/#", QoS: 1}}},
				&packet.Pingreq{},
			)
			if ack, ok := c.Next().(*packet.Connack); !ok || ack.Code != mqtt.Success {
				t.Fatalf("%v in frames of %d: got %+v", v, size, ack)
			}
			c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS1}}, &packet.Pingresp{})
			large := bytes.Repeat([]byte("x"), 2000)
			b.Connect("tcp").Publish(mqtt.Message{Topic: "a/b", Payload: large, QoS: 1}, mqtt.Success)
			c.ExpectMessage("a/b", string(large))
			c.Send(&packet.Disconnect{})
			if _, err := nc.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // the end that was agreed on
				t.Errorf("%v: the end is %v", v, err)
			}
		}
	}
	// Text is no MQTT [MQTT-6.0.0-1].
	b := brokertest.Start(t, broker.Options{})
	wc := openWebSocket(t, b.Listen("ws://127.0.0.1:0/mqtt", listener.Options{}).URL())
	if err := wc.Write(t.Context(), websocket.MessageText, wire.Bytes(connectAs(mqtt.V5, "text"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := wc.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusUnsupportedData {
		t.Errorf("text was answered with %v", err)
	}
}
