package certificate_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// dir is a folder with an authority's files.
type dir struct {
	t    *testing.T
	path string
	ca   *certificate.Issued
}

func newDir(t *testing.T) *dir {
	t.Helper()
	ca, err := certificate.NewAuthority("test CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	d := &dir{t, t.TempDir(), ca}
	d.keep("ca", ca)
	d.server("a", "a.example")
	return d
}

func (d *dir) file(name string) string { return filepath.Join(d.path, name) }

func (d *dir) write(name string, b []byte) string {
	d.t.Helper()
	if err := os.WriteFile(d.file(name), b, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return d.file(name)
}

func (d *dir) keep(name string, c *certificate.Issued) {
	d.t.Helper()
	crt, key, err := c.PEM()
	if err != nil {
		d.t.Fatal(err)
	}
	d.write(name+".crt", crt)
	d.write(name+".key", key)
}

func (d *dir) issue(by *certificate.Issued, r certificate.Request) *certificate.Issued {
	d.t.Helper()
	if r.Valid == 0 {
		r.Valid = time.Hour
	}
	c, err := by.Issue(r)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *dir) server(name string, hosts ...string) *certificate.Issued {
	c := d.issue(d.ca, certificate.Request{CommonName: name, Hosts: hosts, Server: true})
	d.keep(name, c)
	return c
}

func (d *dir) client(name string) *certificate.Issued {
	return d.issue(d.ca, certificate.Request{CommonName: name, Client: true})
}

func (d *dir) pair(name string) certificate.Pair {
	return certificate.Pair{Certificate: d.file(name + ".crt"), Key: d.file(name + ".key")}
}

func (d *dir) open(o certificate.Options) *certificate.Store {
	d.t.Helper()
	s, err := certificate.Open(o)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// roots is what a client trusts.
func (d *dir) roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(d.ca.Certificate)
	return p
}

func own(c *certificate.Issued) []tls.Certificate {
	if c == nil {
		return nil
	}
	return []tls.Certificate{{Certificate: [][]byte{c.Certificate.Raw}, PrivateKey: c.Key}}
}

// shake makes a connection, and returns what both sides have of it. The client
// reads a byte, for with TLS 1.3 it is told only then that it was refused.
func shake(t *testing.T, s *certificate.Store, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			serverErr = err
			return
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(patience))
		tc := tls.Server(nc, s.Config())
		if serverErr = tc.Handshake(); serverErr == nil {
			_, _ = tc.Write([]byte("x"))
			_, _ = io.Copy(io.Discard, tc)
		}
	})
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	tc := tls.Client(nc, client)
	if clientErr = tc.Handshake(); clientErr == nil {
		_, clientErr = io.ReadFull(tc, make([]byte, 1))
	}
	state = tc.ConnectionState()
	_ = nc.Close()
	wg.Wait()
	return state, serverErr, clientErr
}

func TestSNI(t *testing.T) {
	d := newDir(t)
	d.server("b", "b.example", "*.b.example")
	s := d.open(certificate.Options{Pairs: []certificate.Pair{d.pair("a"), d.pair("b")}})
	for name, want := range map[string]string{"a.example": "a", "b.example": "b", "x.b.example": "b", "other": "a", "": "a"} {
		st, serr, _ := shake(t, s, &tls.Config{RootCAs: d.roots(), ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // what is served is looked at
		if serr != nil || st.PeerCertificates[0].Subject.CommonName != want {
			t.Errorf("%q: %v, %v", name, serr, st.PeerCertificates)
		}
	}
}

func TestMinVersion(t *testing.T) {
	d := newDir(t)
	for _, tc := range []struct {
		least, offers uint16
		ok            bool
	}{
		{0, tls.VersionTLS11, false},
		{0, tls.VersionTLS12, true},
		{0, tls.VersionTLS13, true},
		{tls.VersionTLS13, tls.VersionTLS12, false},
		{tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		s := d.open(certificate.Options{Pairs: []certificate.Pair{d.pair("a")}, MinVersion: tc.least})
		_, err, _ := shake(t, s, &tls.Config{RootCAs: d.roots(), ServerName: "a.example", MinVersion: tls.VersionTLS10, MaxVersion: tc.offers}) //nolint:gosec // old on purpose
		if (err == nil) != tc.ok {
			t.Errorf("at least %x, offered %x: %v", tc.least, tc.offers, err)
		}
	}
}

// Each kind of certificate that is no good is refused, with what is wrong.
func TestClientCertificates(t *testing.T) {
	d := newDir(t)
	foreign, err := certificate.NewAuthority("other CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	revoked := d.client("revoked")
	crl, err := d.ca.Revoke(1, time.Hour, revoked.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	crlFile := d.write("crl.pem", crl)
	for _, tc := range []struct {
		name     string
		client   *certificate.Issued
		required string // what is said with Required, "" if it is let in
		optional string
	}{
		{"good", d.client("good"), "", ""},
		{"missing", nil, "didn't provide a certificate", ""},
		{"revoked", revoked, "was revoked at", "was revoked at"},
		{"expired", d.issue(d.ca, certificate.Request{
			CommonName: "old", Client: true, NotBefore: time.Now().Add(-48 * time.Hour), Valid: time.Hour,
		}), "has expired", "has expired"},
		{"other authority", d.issue(foreign, certificate.Request{CommonName: "x", Client: true}), "unknown authority", "unknown authority"},
		{"of a server", d.issue(d.ca, certificate.Request{CommonName: "x", Server: true}), "key usage", "key usage"},
	} {
		for mode, want := range map[certificate.Clients]string{certificate.Required: tc.required, certificate.Optional: tc.optional, certificate.NotAsked: ""} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				s := d.open(certificate.Options{
					Pairs: []certificate.Pair{d.pair("a")}, Clients: mode, ClientCAs: []string{d.file("ca.crt")}, CRLs: []string{crlFile},
				})
				_, serr, cerr := shake(t, s, &tls.Config{
					RootCAs: d.roots(), ServerName: "a.example", MaxVersion: version, MinVersion: version,
					// What the server would not accept is sent all the same.
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						if tc.client == nil {
							return new(tls.Certificate), nil
						}
						return &own(tc.client)[0], nil
					},
				})
				if want == "" && (serr != nil || cerr != nil) || want != "" && (cerr == nil || serr == nil || !strings.Contains(serr.Error(), want)) {
					t.Errorf("%s, mode %d, TLS %x: server %v, client %v; want %q", tc.name, mode, version, serr, cerr, want)
				}
			}
		}
	}
}

// A session that is resumed is held against today's list.
func TestResumedSession(t *testing.T) {
	d := newDir(t)
	c := d.client("c")
	empty, err := d.ca.Revoke(1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	crl := d.write("crl.pem", empty)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		d.write("crl.pem", empty)
		s := d.open(certificate.Options{
			Pairs: []certificate.Pair{d.pair("a")}, Clients: certificate.Required, ClientCAs: []string{d.file("ca.crt")}, CRLs: []string{crl},
		})
		client := &tls.Config{
			RootCAs: d.roots(), ServerName: "a.example", Certificates: own(c), ClientSessionCache: tls.NewLRUClientSessionCache(8),
			MinVersion: version, MaxVersion: version,
		}
		shake(t, s, client)
		if st, _, err := shake(t, s, client); err != nil || !st.DidResume {
			t.Fatalf("TLS %x: resumed %v, %v", version, st.DidResume, err)
		}
		full, err := d.ca.Revoke(2, time.Hour, c.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		d.write("crl.pem", full)
		if changed, err := s.Reload(); !changed || err != nil {
			t.Fatal(changed, err)
		}
		var revoked *certificate.RevokedError
		if _, err, _ := shake(t, s, client); !errors.As(err, &revoked) {
			t.Errorf("TLS %x: %v", version, err)
		}
		// So is a session with an authority that has gone.
		other, err := certificate.NewAuthority("other", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		d.keep("other", other)
		d.write("crl.pem", empty)
		if err := s.Configure(certificate.Options{
			Pairs: []certificate.Pair{d.pair("a")}, Clients: certificate.Required, ClientCAs: []string{d.file("other.crt")},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err, _ := shake(t, s, client); err == nil {
			t.Errorf("TLS %x: let in by an authority that has gone", version)
		}
	}
}

func TestPKCS12(t *testing.T) {
	d := newDir(t)
	c := d.server("p", "p.example")
	for name, enc := range map[string]*pkcs12.Encoder{"modern": pkcs12.Modern, "legacy": pkcs12.LegacyDES} {
		b, err := enc.Encode(c.Key, c.Certificate, []*x509.Certificate{d.ca.Certificate}, "secret")
		if err != nil {
			t.Fatal(err)
		}
		path := d.write(name+".pfx", b)
		password := func(s string) func() (string, error) { return func() (string, error) { return s, nil } }
		s := d.open(certificate.Options{Pairs: []certificate.Pair{{PKCS12: path, Password: password("secret")}}})
		if _, _, err := shake(t, s, &tls.Config{RootCAs: d.roots(), ServerName: "p.example"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := certificate.Open(certificate.Options{Pairs: []certificate.Pair{{PKCS12: path, Password: password("wrong")}}}); err == nil ||
			!strings.Contains(err.Error(), "password is wrong") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadFiles(t *testing.T) {
	d := newDir(t)
	d.server("b", "b.example")
	foreign, err := certificate.NewAuthority("foreign", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	list, err := foreign.Revoke(1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	d.write("foreign.crl", list)
	d.write("garbage", []byte("garbage"))
	ok := d.pair("a")
	ca := []string{d.file("ca.crt")}
	for name, tc := range map[string]struct {
		o    certificate.Options
		want string
	}{
		"none":          {certificate.Options{}, "no certificate"},
		"no file":       {certificate.Options{Pairs: []certificate.Pair{d.pair("none")}}, "none.crt"},
		"folder":        {certificate.Options{Pairs: []certificate.Pair{{Certificate: d.path}}}, "not a file"},
		"another's key": {certificate.Options{Pairs: []certificate.Pair{{Certificate: d.file("a.crt"), Key: d.file("b.key")}}}, "does not match"},
		"no CA":         {certificate.Options{Pairs: []certificate.Pair{ok}, Clients: certificate.Required}, "no authority"},
		"garbage as CA": {certificate.Options{Pairs: []certificate.Pair{ok}, Clients: certificate.Required, ClientCAs: []string{d.file("garbage")}}, "garbage"},
		"leaf as CA":    {certificate.Options{Pairs: []certificate.Pair{ok}, Clients: certificate.Required, ClientCAs: []string{d.file("b.crt")}}, "is no authority"},
		"garbage as CRL": {certificate.Options{
			Pairs: []certificate.Pair{ok}, Clients: certificate.Required, ClientCAs: ca, CRLs: []string{d.file("garbage")},
		}, "garbage"},
		"foreign CRL": {certificate.Options{
			Pairs: []certificate.Pair{ok}, Clients: certificate.Required, ClientCAs: ca, CRLs: []string{d.file("foreign.crl")},
		}, "signed by no authority"},
	} {
		if err := certificate.Check(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// logged is what a store logs.
type logged struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func newLogged() *logged { return &logged{more: make(chan struct{}, 1000)} }

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more <- struct{}{}
	return l.b.Write(b)
}

func (l *logged) wait(t *testing.T, text string) {
	t.Helper()
	for {
		l.mu.Lock()
		found := strings.Contains(l.b.String(), text)
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-l.more:
		case <-time.After(patience):
			t.Fatalf("not in the log: %q", text)
		}
	}
}

// Files are followed however they change, and half of a change is never used.
func TestWatch(t *testing.T) {
	d := newDir(t)
	out := newLogged()
	// As Kubernetes does it: names are links by way of a link that is replaced.
	for _, gen := range []string{"1", "2"} {
		if err := os.Mkdir(d.file(gen), 0o700); err != nil {
			t.Fatal(err)
		}
		crt, key, err := d.issue(d.ca, certificate.Request{CommonName: "generation " + gen, Hosts: []string{"k.example"}, Server: true}).PEM()
		if err != nil {
			t.Fatal(err)
		}
		d.write(filepath.Join(gen, "tls.crt"), crt)
		d.write(filepath.Join(gen, "tls.key"), key)
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, d.file(name+".new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(d.file(name+".new"), d.file(name)); err != nil {
			t.Fatal(err)
		}
	}
	link("1", "data")
	link("data/tls.crt", "tls.crt")
	link("data/tls.key", "tls.key")
	s := d.open(certificate.Options{
		Pairs: []certificate.Pair{d.pair("a"), d.pair("tls")}, Name: "front", Logger: slog.New(slog.NewTextHandler(out, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	served := func(host string) string {
		t.Helper()
		st, _, err := shake(t, s, &tls.Config{RootCAs: d.roots(), ServerName: host})
		if err != nil {
			t.Fatal(err)
		}
		return st.PeerCertificates[0].Subject.CommonName
	}
	link("2", "data")
	out.wait(t, "generation 2")
	if got := served("k.example"); got != "generation 2" {
		t.Errorf("served %q", got)
	}
	// The certificate of another pair, and its key later.
	next := d.issue(d.ca, certificate.Request{CommonName: "next", Hosts: []string{"a.example"}, Server: true})
	crt, key, err := next.PEM()
	if err != nil {
		t.Fatal(err)
	}
	d.write("a.crt", crt)
	out.wait(t, "certificates not reloaded: the old ones stay in use")
	if got := served("a.example"); got != "a" {
		t.Errorf("served %q", got)
	}
	d.write("a.key", key)
	out.wait(t, "CN=next")
	if got := served("a.example"); got != "next" {
		t.Errorf("served %q", got)
	}
	if changed, err := s.Reload(); changed || err != nil {
		t.Errorf("nothing has changed: %v, %v", changed, err)
	}
}

func TestWarnings(t *testing.T) {
	d := newDir(t)
	d.keep("old", d.issue(d.ca, certificate.Request{CommonName: "old", Server: true, NotBefore: time.Now().Add(-2 * time.Hour), Valid: time.Hour}))
	out := newLogged()
	d.open(certificate.Options{Pairs: []certificate.Pair{d.pair("a"), d.pair("old")}, Logger: slog.New(slog.NewTextHandler(out, nil))})
	out.wait(t, "certificate expires soon")
	out.wait(t, "certificate has expired")
}
