//go:build unix

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// tlsSite is a site with an authority and certificates.
type tlsSite struct {
	*site
	ca *certificate.Issued
}

const tlsListener = `listeners:
  - url: tls://127.0.0.1:0
    name: devices
    tls:
      certificates: [{certificate: broker.crt, key: broker.key}]
      client_certificates: required
      client_ca: [ca.crt]
      crl: [revoked.crl]
      username_from: cn
run_dir: run
data_dir: data
`

func newTLSSite(t *testing.T) *tlsSite {
	t.Helper()
	ca, err := certificate.NewAuthority("test CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s := &tlsSite{newSite(t, ""), ca}
	s.write("gatehouse.yaml", tlsListener)
	s.keep("ca", ca)
	s.keep("broker", s.issue(certificate.Request{CommonName: "first", Hosts: []string{"127.0.0.1"}, Server: true}))
	s.revoke(1)
	return s
}

func (s *tlsSite) issue(r certificate.Request) *certificate.Issued {
	s.t.Helper()
	if r.Valid == 0 {
		r.Valid = time.Hour
	}
	c, err := s.ca.Issue(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *tlsSite) keep(name string, c *certificate.Issued) {
	s.t.Helper()
	crt, key, err := c.PEM()
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name+".key", string(key))
	s.write(name+".crt", string(crt))
}

func (s *tlsSite) revoke(number int64, list ...*x509.Certificate) {
	s.t.Helper()
	b, err := s.ca.Revoke(number, time.Hour, list...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("revoked.crl", string(b))
}

// dial makes a TLS connection with a client certificate, or none.
func (s *tlsSite) dial(p *proc, c *certificate.Issued) (*tls.Conn, error) {
	roots := x509.NewCertPool()
	roots.AddCert(s.ca.Certificate)
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", strings.TrimPrefix(p.addr, "tls://"), &tls.Config{
		RootCAs: roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c == nil {
				return new(tls.Certificate), nil
			}
			return &tls.Certificate{Certificate: [][]byte{c.Certificate.Raw}, PrivateKey: c.Key}, nil
		},
	})
}

// connect connects an MQTT client with a certificate.
func (s *tlsSite) connect(p *proc, name string) (*brokertest.Client, *x509.Certificate) {
	s.t.Helper()
	nc, err := s.dial(p, s.issue(certificate.Request{CommonName: name, Client: true}))
	if err != nil {
		s.t.Fatal(err)
	}
	c := brokertest.At(s.t, p.addr).Over(nc, mqtt.V5)
	c.Send(&packet.Connect{Version: mqtt.V5, CleanStart: true, ClientID: name, RequestProblemInfo: true, ReceiveMaximum: 65535})
	if ack, ok := c.Next().(*packet.Connack); !ok || ack.Code != 0 {
		s.t.Fatalf("%s: %+v", name, ack)
	}
	return c, nc.ConnectionState().PeerCertificates[0]
}

// The broker's certificate is replaced while a hundred clients publish: none is
// disconnected, and who comes later gets the new one. So it is with a list of
// revoked certificates.
func TestCertificateSwap(t *testing.T) {
	s := newTLSSite(t)
	p := s.start()
	const clients = 100
	var stop atomic.Bool
	var published atomic.Int64
	var wg sync.WaitGroup
	started := make(chan struct{}, clients)
	for i := range clients {
		c, served := s.connect(p, fmt.Sprintf("device %d", i))
		if served.Subject.CommonName != "first" {
			t.Fatalf("served %s", served.Subject)
		}
		wg.Go(func() {
			for n := 0; !stop.Load() && !t.Failed(); n++ {
				c.Publish(mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 1}, mqtt.NoMatchingSubscribers)
				published.Add(1)
				if n == 0 {
					started <- struct{}{}
				}
			}
			c.Disconnect()
		})
	}
	for range clients {
		<-started
	}
	before := published.Load()
	s.keep("broker", s.issue(certificate.Request{CommonName: "second", Hosts: []string{"127.0.0.1"}, Server: true}))
	p.waitLog("CN=second")
	if _, served := s.connect(p, "newcomer"); served.Subject.CommonName != "second" {
		t.Errorf("a newcomer is served %s", served.Subject)
	}
	banned := s.issue(certificate.Request{CommonName: "banned", Client: true})
	s.revoke(2, banned.Certificate)
	s.write("gatehouse.yaml", tlsListener) // as it was
	p.signal(syscall.SIGHUP)
	p.waitLog("configuration reloaded")
	s.refused(p, banned, "was revoked at")
	deadline := time.Now().Add(patience)
	for published.Load() < before+2*clients && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d messages", published.Load())
	for _, bad := range []string{"by=network", "by=server"} {
		if strings.Contains(p.log(), bad) {
			t.Errorf("somebody was disconnected: %s", bad)
		}
	}
	p.stop()
}

// refused checks that a certificate is refused, and that the log says why.
func (s *tlsSite) refused(p *proc, c *certificate.Issued, why string) {
	s.t.Helper()
	nc, err := s.dial(p, c)
	if err == nil {
		_ = nc.SetReadDeadline(time.Now().Add(patience))
		_, err = nc.Read(make([]byte, 1))
		_ = nc.Close()
	}
	if err == nil {
		s.t.Errorf("%s: let in", why)
	}
	p.waitLog(why)
}

// Each kind of client certificate that is no good is refused with a line that
// says why, and whose it is.
func TestRefusedCertificates(t *testing.T) {
	s := newTLSSite(t)
	foreign, err := certificate.NewAuthority("foreign CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := foreign.Issue(certificate.Request{CommonName: "stranger", Client: true, Valid: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	thief := s.issue(certificate.Request{CommonName: "thief", Client: true})
	s.revoke(2, thief.Certificate)
	p := s.start()
	s.refused(p, nil, "client didn't provide a certificate")
	s.refused(p, s.issue(certificate.Request{
		CommonName: "old device", Client: true, NotBefore: time.Now().Add(-3 * time.Hour), Valid: time.Hour,
	}), "certificate has expired")
	p.waitLog(`subject="CN=old device"`)
	s.refused(p, stranger, "signed by unknown authority")
	p.waitLog(`subject="CN=stranger"`)
	p.waitLog(`issuer="CN=foreign CA"`)
	s.refused(p, thief, "was revoked at")
	s.connect(p, "good")
	p.waitLog("user=good")
	p.stop()
}

// A configuration that is no good changes nothing, under traffic: neither a key
// that makes no sense, nor a certificate that can't be read, nor an address that
// is taken. A good one opens and closes listeners, and connections stay.
func TestReloadListeners(t *testing.T) {
	s := newSite(t, "")
	rest := "\ndata_dir: data\nrun_dir: run\n"
	first := "{url: 'tcp://127.0.0.1:0'}"
	s.write("gatehouse.yaml", "listeners: ["+first+"]"+rest)
	p := s.start()
	flow := p.traffic(t, "t", false)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, bad := range []string{
		"listeners: [{url: 'tcp://127.0.0.1:0', nonsense: 1}]",
		"listeners: [" + first + ", {url: 'tcp://" + taken.Addr().String() + "'}]\nlog: {level: debug}",
		"listeners: [" + first + ", {url: 'tls://127.0.0.1:0', tls: {certificates: [{certificate: none.crt, key: none.key}]}}]\nlog: {level: debug}",
		"listeners: [" + first + ", {url: 'tcp://0.0.0.0:0', name: all}]",
	} {
		before := strings.Count(p.log(), "configuration")
		s.write("gatehouse.yaml", bad+rest)
		p.signal(syscall.SIGHUP)
		deadline := time.Now().Add(patience)
		for strings.Count(p.log(), "configuration") == before {
			if time.Now().After(deadline) {
				t.Fatalf("no answer to %s", bad)
			}
			time.Sleep(time.Millisecond)
		}
		if strings.Contains(p.log(), "level=DEBUG") || strings.Contains(p.log(), "listener opened") || strings.Contains(p.log(), "listener closed") {
			t.Fatalf("%s changed something", bad)
		}
	}
	s.write("gatehouse.yaml", "listeners: ["+first+", {url: 'unix://"+s.path("m.sock")+"'}]"+rest)
	p.signal(syscall.SIGHUP)
	p.waitLog("listener opened")
	if nc, err := net.Dial("unix", s.path("m.sock")); err != nil {
		t.Error(err)
	} else {
		_ = nc.Close()
	}
	// The first listener goes; its clients stay.
	s.write("gatehouse.yaml", "listeners: [{url: 'unix://"+s.path("m.sock")+"', limits: {max_qos: 0}}]"+rest)
	p.signal(syscall.SIGHUP)
	p.waitLog("listener closed")
	if nc, err := net.Dial("tcp", p.addr); err == nil {
		_ = nc.Close()
		t.Error("the address is still open")
	}
	for range 20 {
		<-flow.sub.got
	}
	nc, err := net.Dial("unix", s.path("m.sock"))
	if err != nil {
		t.Fatal(err)
	}
	c := brokertest.At(t, "").Over(nc, mqtt.V5)
	c.Send(&packet.Connect{Version: mqtt.V5, CleanStart: true, ClientID: "limited"})
	if ack, ok := c.Next().(*packet.Connack); !ok || !ack.HasMaximumQoS || ack.MaximumQoS != 0 {
		t.Errorf("got %+v", ack)
	}
	close(flow.stop)
	<-flow.acked
	for who, c := range map[string]*client5{"publisher": flow.pub, "subscriber": flow.sub} {
		select {
		case err := <-c.lost:
			t.Errorf("the %s lost its connection: %v", who, err)
		default:
		}
	}
	p.stop()
}
