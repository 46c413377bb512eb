package broker_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// questioned is a broker whose validator tells the test what it was asked.
type questioned struct {
	*brokertest.Broker
	asked chan *hook.Connect
	says  func(*hook.Connect) *hook.Decision
	ca    *certificate.Issued
	store *certificate.Store
}

func question(t *testing.T) *questioned {
	t.Helper()
	q := &questioned{asked: make(chan *hook.Connect, 10)}
	hooks := hook.NewHooks(nil)
	t.Cleanup(hooks.Close)
	entry := func(name string) hook.ValidatorEntry {
		return hook.ValidatorEntry{Name: name, Validator: hook.ValidatorFunc(func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
			q.asked <- c
			if q.says != nil {
				return q.says(c), nil
			}
			return &hook.Decision{Verdict: hook.Allow}, nil
		})}
	}
	hooks.SetValidators([]hook.ValidatorEntry{entry("first"), entry("second")})
	q.Broker = brokertest.Start(t, broker.Options{Hooks: hooks})
	var err error
	if q.ca, err = certificate.NewAuthority("test CA", time.Hour); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	q.keep(t, filepath.Join(dir, "ca"), q.ca)
	q.keep(t, filepath.Join(dir, "broker"), q.issue(t, certificate.Request{CommonName: "broker", Hosts: []string{"broker.example"}, Server: true}))
	q.store, err = certificate.Open(certificate.Options{
		Pairs:   []certificate.Pair{{Certificate: filepath.Join(dir, "broker.crt"), Key: filepath.Join(dir, "broker.key")}},
		Clients: certificate.Optional, ClientCAs: []string{filepath.Join(dir, "ca.crt")}, Protocols: []string{"mqtt"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func (q *questioned) issue(t *testing.T, r certificate.Request) *certificate.Issued {
	t.Helper()
	r.Valid = time.Hour
	c, err := q.ca.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (q *questioned) keep(t *testing.T, path string, c *certificate.Issued) {
	t.Helper()
	crt, key, err := c.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{path + ".crt": crt, path + ".key": key} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (q *questioned) trusting(c *certificate.Issued) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(q.ca.Certificate)
	cfg := &tls.Config{RootCAs: roots, ServerName: "broker.example", NextProtos: []string{"mqtt"}}
	if c != nil {
		cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{c.Certificate.Raw}, PrivateKey: c.Key}}
	}
	return cfg
}

// connect sends a CONNECT and returns its answer.
func (q *questioned) connect(t *testing.T, nc net.Conn, p *packet.Connect) *packet.Connack {
	t.Helper()
	if p.Version == 0 {
		p.Version = mqtt.V5
	}
	if p.CleanStart = true; p.ClientID == "" {
		p.ClientID = rand.Text() // a session belongs to a user
	}
	c := q.Over(nc, p.Version)
	c.Send(p)
	ack, ok := c.Next().(*packet.Connack)
	if !ok {
		t.Fatal("no CONNACK")
	}
	return ack
}

func (q *questioned) tlsDial(t *testing.T, l listener.Listener, c *certificate.Issued) net.Conn {
	t.Helper()
	nc, err := tls.Dial("tcp", l.Addr().String(), q.trusting(c))
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

var local = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// What is told below MQTT reaches the validators: the address by a PROXY
// header, TLS with the client's certificate, the request of a WebSocket.
func TestValidatorsSeeTransport(t *testing.T) {
	q := question(t)
	l := q.Listen("tls://127.0.0.1:0", listener.Options{Name: "devices", TLS: q.store.Config(), ProxyFrom: local})
	device := q.issue(t, certificate.Request{
		CommonName: "device 7", Hosts: []string{"d7.example", "192.0.2.9"}, Emails: []string{"d7@example.org"}, URIs: []string{"urn:d:7"}, Client: true,
	})
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Write([]byte("PROXY TCP4 203.0.113.7 192.0.2.1 4711 8883\r\n")); err != nil {
		t.Fatal(err)
	}
	if ack := q.connect(t, tls.Client(raw, q.trusting(device)), &packet.Connect{ClientID: "c"}); ack.Code != 0 {
		t.Fatal(ack.Code)
	}
	in := <-q.asked
	<-q.asked // the second validator
	if in.PeerAddress != "203.0.113.7:4711" || in.LocalAddress != "192.0.2.1:8883" || in.Listener != "devices" || in.Transport != "tls" {
		t.Errorf("addresses: %+v", in)
	}
	if in.Proxy == nil || in.Proxy.Address != raw.LocalAddr().String() {
		t.Errorf("proxy: %+v", in.Proxy)
	}
	if in.TLS == nil || in.TLS.Version != "TLS 1.3" || in.TLS.ServerName != "broker.example" || in.TLS.ALPN != "mqtt" {
		t.Fatalf("TLS: %+v", in.TLS)
	}
	c := in.TLS.Certificate
	if c == nil || !c.Verified || c.CommonName != "device 7" || c.Subject != "CN=device 7" || c.Issuer != "CN=test CA" ||
		!slices.Equal(c.DNSNames, []string{"d7.example"}) || !slices.Equal(c.EmailAddresses, []string{"d7@example.org"}) ||
		!slices.Equal(c.URIs, []string{"urn:d:7"}) || !slices.Equal(c.IPAddresses, []string{"192.0.2.9"}) ||
		c.SHA256 != sha256.Sum256(device.Certificate.Raw) || c.Serial != device.Certificate.SerialNumber.Text(16) {
		t.Errorf("certificate: %+v", c)
	}
	if st, ok := q.Clients().Get("c"); !ok || st.Client.PeerAddress != "203.0.113.7:4711" {
		t.Errorf("status: %+v", st)
	}

	ws := q.Listen("ws://127.0.0.1:0/mqtt", listener.Options{Name: "web", WebSocket: listener.WebSocketOptions{TrustedProxies: local}})
	wc, _, err := websocket.Dial(t.Context(), ws.URL()+"?tenant=7", &websocket.DialOptions{ //nolint:bodyclose // there is none
		Subprotocols: []string{"mqtt"}, HTTPHeader: http.Header{"Cookie": {"session=x"}, "X-Forwarded-For": {"198.51.100.4"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	q.connect(t, websocket.NetConn(t.Context(), wc, websocket.MessageBinary), &packet.Connect{})
	in = <-q.asked
	<-q.asked
	if in.WebSocket == nil || in.WebSocket.Path != "/mqtt?tenant=7" || in.WebSocket.Host != ws.Addr().String() || in.Transport != "ws" ||
		in.PeerAddress != "198.51.100.4:0" || !slices.Contains(in.WebSocket.Headers, mqtt.UserProperty{Key: "Cookie", Value: "session=x"}) {
		t.Errorf("got %+v, %+v", in, in.WebSocket)
	}
}

// A client over TLS may take its time over a large message, longer than one
// write may take.
func TestSlowTLSClient(t *testing.T) {
	for try := 1; ; try++ {
		got, pause, err := readSlowly(t, 2*time.Second)
		switch {
		case err == nil:
			return
		case pause < time.Second || try == 5: // or else the machine stood still
			t.Fatalf("after %d bytes: %v", got, err)
		}
	}
}

// readSlowly reads a message of 24 MiB, which takes longer than one write may
// take. It returns how much it got, and the longest time without any.
func readSlowly(t *testing.T, writeTimeout time.Duration) (got int, pause time.Duration, err error) {
	t.Helper()
	q := question(t)
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{WriteTimeout: writeTimeout, PacketSize: 32 << 20, QueueBytes: 64 << 20}})
	l := b.Listen("tls://127.0.0.1:0", listener.Options{TLS: q.store.Config()})
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.(*net.TCPConn).SetReadBuffer(64 << 10)
	nc := tls.Client(raw, q.trusting(nil))
	c := b.Over(nc, mqtt.V311)
	c.Send(&packet.Connect{Version: mqtt.V311, CleanStart: true, ClientID: "slow"}, &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t"}}})
	c.Next()
	c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}})
	const size = 24 << 20
	if _, err := b.Publish(t.Context(), &mqtt.Message{Topic: "t", Payload: make([]byte, size)}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 384<<10)
	for last := time.Now(); got < size; {
		n, err := io.ReadFull(nc, buf[:min(len(buf), size-got)])
		got += n
		pause, last = max(pause, time.Since(last)), time.Now()
		if err != nil {
			return got, pause, err
		}
		time.Sleep(50 * time.Millisecond) // slow, not waiting for anything
	}
	return got, pause, nil
}

func TestUsernameFromCertificate(t *testing.T) {
	q := question(t)
	l := q.Listen("tls://127.0.0.1:0", listener.Options{Name: "devices", TLS: q.store.Config()})
	full := q.issue(t, certificate.Request{
		CommonName: "device 7", Hosts: []string{"d7.example", "other.example"}, Emails: []string{"d7@example.org"}, URIs: []string{"urn:d:7"}, Client: true,
	})
	bare := q.issue(t, certificate.Request{Client: true})
	for field, want := range map[broker.CertificateField]string{
		broker.CertificateNone: "claimed", broker.CertificateCN: "device 7", broker.CertificateSubject: "CN=device 7", broker.CertificateDNS: "d7.example",
		broker.CertificateEmail: "d7@example.org", broker.CertificateURI: "urn:d:7",
		broker.CertificateFingerprint: fmt.Sprintf("%x", sha256.Sum256(full.Certificate.Raw)),
	} {
		q.SetListener("devices", broker.ListenerOptions{UsernameFrom: field, Validators: []string{"second"}})
		ack := q.connect(t, q.tlsDial(t, l, full), &packet.Connect{Username: "claimed", HasUsername: true})
		if in := <-q.asked; ack.Code != 0 || in.Username != want || !in.HasUsername {
			t.Errorf("%q: %v, user %q", field, ack.Code, in.Username)
		}
		if field == broker.CertificateNone || field == broker.CertificateFingerprint || field == broker.CertificateSubject {
			continue
		}
		if ack := q.connect(t, q.tlsDial(t, l, bare), &packet.Connect{Username: "claimed", HasUsername: true}); ack.Code != mqtt.BadUserNameOrPassword {
			t.Errorf("%q, a certificate without it: %v", field, ack.Code)
		}
	}
	// Without a certificate the client's word is what the validators judge.
	q.connect(t, q.tlsDial(t, l, nil), &packet.Connect{Username: "claimed", HasUsername: true})
	if in := <-q.asked; in.Username != "claimed" || in.TLS.Certificate != nil {
		t.Errorf("got %+v", in)
	}
}

// What holds for one listener holds for its clients and no others.
func TestListenerOptions(t *testing.T) {
	q := question(t)
	l := q.Listen("tcp://127.0.0.1:0", listener.Options{Name: "small"})
	dial := func() net.Conn {
		t.Helper()
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return nc
	}
	q.SetListener("small", broker.ListenerOptions{
		Validators: []string{"second"}, Mountpoint: "outer/", Versions: []mqtt.Version{mqtt.V5}, Connections: 1,
		Limits: hook.Limits{MaximumQoS: new(mqtt.QoS(1)), MaximumPacketSize: new(uint32(4096)), ReceiveMaximum: new(uint16(3))},
	})
	q.says = func(*hook.Connect) *hook.Decision {
		return &hook.Decision{Verdict: hook.Allow, Mountpoint: "inner/", Limits: hook.Limits{ReceiveMaximum: new(uint16(9))}}
	}
	first := dial()
	ack := q.connect(t, first, &packet.Connect{ClientID: "c"})
	if ack.Code != 0 || !ack.HasMaximumQoS || ack.MaximumQoS != 1 || ack.MaximumPacketSize != 4096 || ack.ReceiveMaximum != 3 {
		t.Errorf("got %+v", ack)
	}
	if st, ok := q.Clients().Get("c"); !ok || st.Client.Mountpoint != "outer/inner/" {
		t.Errorf("got %+v", st)
	}
	if len(q.asked) != 1 {
		t.Errorf("%d validators were asked", len(q.asked))
	}
	<-q.asked
	if err := q.Clients().Revalidate(t.Context(), "c"); err != nil {
		t.Errorf("decided anew: %v", err)
	}
	<-q.asked

	nc := dial() // one too many
	_ = nc.SetReadDeadline(time.Now().Add(brokertest.Patience))
	if _, err := nc.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("got %v", err)
	}
	_ = nc.Close()

	q.SetListener("small", broker.ListenerOptions{Versions: []mqtt.Version{mqtt.V5}})
	if ack := q.connect(t, dial(), &packet.Connect{Version: mqtt.V311}); ack.Code != mqtt.UnsupportedProtocolVersion {
		t.Errorf("3.1.1 got %v", ack.Code)
	}
	q.SetListener("small", broker.ListenerOptions{Validators: []string{"second", "third"}})
	if ack := q.connect(t, dial(), &packet.Connect{}); ack.Code != mqtt.ServerUnavailable {
		t.Errorf("without one of its validators: %v", ack.Code)
	}
	q.SetListener("small", broker.ListenerOptions{Validators: []string{}})
	if ack := q.connect(t, dial(), &packet.Connect{}); ack.Code != 0 || len(q.asked) != 0 {
		t.Errorf("without validators: %v, %d asked", ack.Code, len(q.asked))
	}
	if other, ack := q.TryConnect("d"); ack.Code != 0 || ack.HasMaximumQoS || len(q.asked) != 2 {
		t.Errorf("another listener: %+v, %d asked", ack, len(q.asked))
	} else {
		other.Disconnect()
	}
}
