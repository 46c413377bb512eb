package listener_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
)

// patience bounds every wait.
const patience = 30 * time.Second

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// opened is a listener whose connections are echoed.
type opened struct {
	listener.Listener
	got chan *listener.Info // of each connection that was accepted
	who chan [2]string      // its peer and local address
}

func echo(t *testing.T, url string, o listener.Options) *opened {
	t.Helper()
	l, err := listener.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	out := &opened{Listener: l, got: make(chan *listener.Info, 2000), who: make(chan [2]string, 2000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			out.got <- listener.Describe(nc)
			out.who <- [2]string{nc.RemoteAddr().String(), nc.LocalAddr().String()}
			wg.Go(func() {
				defer func() { _ = nc.Close() }()
				b := make([]byte, 1000) // not the size of anything
				for {
					n, err := nc.Read(b)
					if err != nil {
						return
					}
					if _, err := nc.Write(b[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return out
}

func (o *opened) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", o.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc.(*net.TCPConn)
}

// told waits for what was learnt of the next connection.
func (o *opened) told(t *testing.T) (*listener.Info, [2]string) {
	t.Helper()
	select {
	case i := <-o.got:
		return i, <-o.who
	case <-time.After(patience):
		t.Fatal("nothing was accepted")
		return nil, [2]string{}
	}
}

// servers makes the configurations of a server and of a client that trusts it.
func servers(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	ca, err := certificate.NewAuthority("test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	one, err := ca.Issue(certificate.Request{CommonName: "server", Hosts: []string{"localhost", "127.0.0.1"}, Server: true, Valid: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{one.Certificate.Raw}, PrivateKey: one.Key}}},
		&tls.Config{RootCAs: roots, ServerName: "localhost"}
}
