package bucket

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket/buckettest"
)

// TestPermissions gives the user what README.md says that it needs, and no more.
func TestPermissions(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "publish:   ")
	publish, rest, _ := strings.Cut(rest, "subscribe: ")
	subscribe, _, ok := strings.Cut(rest, "\n```")
	if !ok {
		t.Fatal("README.md does not list the permissions")
	}
	nats := buckettest.Start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "gatehouse", Password: "secret", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: strings.Fields(strings.ReplaceAll(publish, "BUCKET", "b"))},
			Subscribe: &server.SubjectPermission{Allow: strings.Fields(subscribe)},
		}}}
	})
	c := config(nats)
	c.URLs[0] = strings.Replace(c.URLs[0], "nats://", "nats://gatehouse:secret@", 1)
	s := open(t, c)
	apply(t, s, put("a", "1", 1), put("b", "2", 2), del("a", 3))
	apply(t, s, pluginapi.Change{Op: pluginapi.Clear, Revision: 4})
	apply(t, s, put("c", "5", 5))
	s.mu.Lock()
	if s.unpurged {
		t.Error("what was cleared could not be purged")
	}
	s.mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.MaxBytes = 1 << 20
	want(t, open(t, c), map[string]string{"c": "5@5"})

	c.URLs[0] = strings.Replace(c.URLs[0], "secret", "wrong", 1)
	if _, err := Open(t.Context(), Options{Config: c}); err == nil || !strings.Contains(err.Error(), "may this user connect") {
		t.Errorf("Open with a wrong password: %v", err)
	}
}

// TestTLS connects with certificates on both sides.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)
	nats := buckettest.Start(t, func(o *server.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 10
	})
	c := config(nats)
	if _, err := Open(t.Context(), Options{Config: c}); err == nil {
		t.Error("a server that asks for a certificate let one in without")
	}
	c.TLS = TLSConfig{CA: cert, Cert: cert, Key: key}
	s := open(t, c)
	apply(t, s, put("a", "1", 1))
	want(t, s, map[string]string{"a": "1@1"})
	c.TLS.ServerName = "elsewhere.example"
	if _, err := Open(t.Context(), Options{Config: c}); err == nil || !strings.Contains(err.Error(), "elsewhere.example") {
		t.Errorf("Open with another server name: %v", err)
	}
}

// certificate makes one that is its own authority and good for both sides.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", raw)
}

// TestCredentials connects as a user of an operator's account, by a file.
func TestCredentials(t *testing.T) {
	operator, account, user := pair(t, nkeys.CreateOperator), pair(t, nkeys.CreateAccount), pair(t, nkeys.CreateUser)
	claims := jwt.NewAccountClaims(public(t, account))
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	accountToken, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	userToken, err := jwt.NewUserClaims(public(t, user)).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(userToken, seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	system := public(t, pair(t, nkeys.CreateAccount))
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(public(t, account), accountToken); err != nil {
		t.Fatal(err)
	}
	systemToken, err := jwt.NewAccountClaims(system).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	if err := resolver.Store(system, systemToken); err != nil {
		t.Fatal(err)
	}
	nats := buckettest.Start(t, func(o *server.Options) {
		o.TrustedKeys, o.AccountResolver, o.SystemAccount = []string{public(t, operator)}, resolver, system
	})
	c := config(nats)
	if _, err := Open(t.Context(), Options{Config: c}); err == nil || !strings.Contains(err.Error(), "may this user connect") {
		t.Errorf("Open without credentials: %v", err)
	}
	c.Credentials = file
	s := open(t, c)
	apply(t, s, put("a", "1", 1))
	want(t, s, map[string]string{"a": "1@1"})
}

func pair(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t *testing.T, k nkeys.KeyPair) string {
	t.Helper()
	p, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}
