package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// mqttFlags say which broker a client of ours connects to, and as whom.
type mqttFlags struct {
	URL           string    `short:"L" name:"url" default:"tcp://127.0.0.1:1883" help:"tcp://, tls://, ws:// or wss://HOST:PORT, or unix:///PATH." env:"GATEHOUSE_MQTT" placeholder:"URL"`
	ID            string    `short:"i" name:"id" help:"Client identifier; the broker or the command makes one without it." placeholder:"ID"`
	Username      string    `short:"u" help:"User name." placeholder:"NAME"`
	Password      string    `short:"P" name:"pw" help:"Password; others may see it in the list of processes." placeholder:"TEXT" env:"GATEHOUSE_MQTT_PASSWORD"`
	PasswordFile  string    `help:"File with the password." placeholder:"FILE"`
	MQTT          string    `short:"V" name:"mqtt-version" default:"5" enum:"5,mqttv5,3.1.1,311,mqttv311" help:"5 or 3.1.1."`
	KeepAlive     uint16    `short:"k" name:"keepalive" default:"60" help:"Keep-alive in seconds." placeholder:"N"`
	KeepSession   bool      `short:"c" name:"disable-clean-session" help:"Resume the session of this --id, and leave it behind."`
	SessionExpiry uint32    `short:"x" name:"session-expiry-interval" help:"MQTT 5: how long the broker keeps the session, in seconds." placeholder:"N"`
	ReceiveMax    uint16    `name:"receive-maximum" help:"MQTT 5: messages that the broker may have unacknowledged." placeholder:"N"`
	MaxPacket     uint32    `name:"maximum-packet-size" help:"MQTT 5: the largest packet that is taken." placeholder:"BYTES"`
	ConnectUser   pairs     `name:"connect-property" sep:"none" help:"MQTT 5: user property of CONNECT. Repeatable." placeholder:"NAME=VALUE"`
	CAFile        string    `name:"cafile" help:"Authorities that may have issued the broker's certificate (default: those of the system)." placeholder:"FILE"`
	Cert          string    `help:"Client certificate." placeholder:"FILE"`
	Key           string    `help:"Its private key." placeholder:"FILE"`
	Insecure      bool      `help:"Take any certificate of the broker; for tests."`
	ServerName    string    `name:"server-name" help:"Name that the broker's certificate has to have." placeholder:"NAME"`
	Will          willFlags `embed:"" prefix:"will-"`
}

// willFlags are the message that the broker publishes when the client is lost.
type willFlags struct {
	Topic   string `help:"Topic of the will." placeholder:"TOPIC"`
	Payload string `help:"Payload of the will." placeholder:"TEXT"`
	QoS     byte   `name:"qos" help:"QoS of the will." placeholder:"N"`
	Retain  bool   `help:"Retain the will."`

	Delay         uint32  `help:"MQTT 5: how long the broker waits with the will, in seconds." placeholder:"N"`
	Expiry        *uint32 `help:"MQTT 5: Message Expiry Interval of the will, in seconds." placeholder:"N"`
	ContentType   string  `help:"MQTT 5: Content Type of the will." placeholder:"TEXT"`
	UTF8          bool    `name:"utf8" help:"MQTT 5: say that the will's payload is UTF-8."`
	ResponseTopic string  `help:"MQTT 5: Response Topic of the will." placeholder:"TOPIC"`
	Correlation   string  `name:"correlation-data" help:"MQTT 5: Correlation Data of the will." placeholder:"TEXT"`
	Property      pairs   `sep:"none" help:"MQTT 5: user property of the will. Repeatable." placeholder:"NAME=VALUE"`
}

// only5 reports whether something is set that MQTT 3.1.1 has not.
func (w *willFlags) only5() bool {
	return w.Delay > 0 || w.Expiry != nil || w.UTF8 || w.ContentType+w.ResponseTopic+w.Correlation != "" || len(w.Property) > 0
}

// properties are those of the will; nil if there is none.
func (w *willFlags) properties() *mqtt.Properties {
	if w.Topic == "" {
		return nil
	}
	user, _ := w.Property.properties() // checked before
	p := &mqtt.Properties{
		ContentType: w.ContentType, ResponseTopic: w.ResponseTopic, HasPayloadFormat: w.UTF8, PayloadIsUTF8: w.UTF8, User: user,
	}
	if w.Correlation != "" {
		p.CorrelationData = []byte(w.Correlation)
	}
	if w.Expiry != nil {
		p.Expiry, p.HasExpiry = *w.Expiry, true
	}
	return p
}

// check says what is wrong with the will of a client of a version.
func (w *willFlags) check(five bool) error {
	_, err := w.Property.properties()
	switch {
	case err != nil:
		return err
	case w.QoS > byte(mqtt.ExactlyOnce):
		return errors.New("QoS is 0, 1 or 2")
	case w.Topic == "" && (w.only5() || w.Payload != "" || w.QoS > 0 || w.Retain):
		return errors.New("a will needs a --will-topic")
	case w.only5() && !five:
		return errOnly5
	}
	return nil
}

// dialTimeout bounds connecting, and every answer that is waited for.
const dialTimeout = 30 * time.Second

// dial connects to where MQTT begins.
func (f *mqttFlags) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	u, err := url.Parse(f.URL)
	if err != nil {
		return nil, err
	}
	secure, err := clientTLS(f.CAFile, f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	secure.InsecureSkipVerify = f.Insecure //nolint:gosec // who asks for it, gets it
	if secure.ServerName = f.ServerName; f.ServerName == "" {
		secure.ServerName = u.Hostname()
	}
	var d net.Dialer
	switch u.Scheme {
	case "unix":
		return d.DialContext(ctx, "unix", u.Path)
	case "tcp", "mqtt":
		return d.DialContext(ctx, "tcp", withPort(u, "1883"))
	case "tls", "mqtts":
		secure.NextProtos = []string{"mqtt"}
		return (&tls.Dialer{NetDialer: &d, Config: secure}).DialContext(ctx, "tcp", withPort(u, "8883"))
	case "ws", "wss":
		return dialWebSocket(ctx, u.String(), secure)
	default:
		return nil, fmt.Errorf("address %q: write tcp://, tls://, ws:// or wss://HOST:PORT, or unix:///PATH", f.URL)
	}
}

func withPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func dialWebSocket(ctx context.Context, at string, secure *tls.Config) (net.Conn, error) {
	hc := webClient(secure)
	ws, res, err := websocket.Dial(ctx, at, &websocket.DialOptions{HTTPClient: hc, Subprotocols: []string{"mqtt"}})
	if res != nil && res.Body != nil {
		_ = res.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	if ws.Subprotocol() != "mqtt" {
		_ = ws.CloseNow()
		return nil, errors.New("the server speaks WebSocket, and no MQTT in it")
	}
	ws.SetReadLimit(-1)
	return websocket.NetConn(context.Background(), ws, websocket.MessageBinary), nil
}
