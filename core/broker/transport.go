package broker

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// brittlePiece is how much is written at once to a connection that does not
// survive a deadline.
const brittlePiece = 64 << 10

// piece is what is written of buf within one deadline. TLS can't go on behind a
// write that one has cut, so that a client over TLS has to take so much in that
// time, where others only have to take something.
func (c *conn) piece(buf []byte) []byte {
	if c.brittle && len(buf) > brittlePiece {
		return buf[:brittlePiece]
	}
	return buf
}

// describeTransport adds what is known of a connection below MQTT.
func describeTransport(in *hook.Connect, d *listener.Info) {
	if d == nil {
		return
	}
	if d.TLS != nil {
		in.TLS = tlsOf(d.TLS)
	}
	if w := d.WebSocket; w != nil {
		in.WebSocket = &hook.WebSocket{Path: w.Path, Host: w.Host, Origin: w.Origin, Headers: headers(w.Header)}
	}
	if p := d.Proxy; p != nil {
		in.Proxy = &hook.Proxy{Address: p.Address, TLVs: p.TLVs}
	}
}

func tlsOf(s *tls.ConnectionState) *hook.TLS {
	t := &hook.TLS{
		Version: tls.VersionName(s.Version), CipherSuite: tls.CipherSuiteName(s.CipherSuite),
		ServerName: s.ServerName, ALPN: s.NegotiatedProtocol,
	}
	if len(s.PeerCertificates) > 0 {
		t.Certificate = certificateOf(s.PeerCertificates[0], len(s.VerifiedChains) > 0)
	}
	return t
}

func certificateOf(c *x509.Certificate, verified bool) *hook.Certificate {
	out := &hook.Certificate{
		DER: c.Raw, Subject: c.Subject.String(), Issuer: c.Issuer.String(), CommonName: c.Subject.CommonName,
		DNSNames: c.DNSNames, EmailAddresses: c.EmailAddresses,
		SHA256: sha256.Sum256(c.Raw), Serial: c.SerialNumber.Text(16), Verified: verified,
	}
	for _, u := range c.URIs {
		out.URIs = append(out.URIs, u.String())
	}
	for _, ip := range c.IPAddresses {
		out.IPAddresses = append(out.IPAddresses, ip.String())
	}
	return out
}

// headers are in the order of their names, so that the same request always
// looks the same.
func headers(h http.Header) (list []mqtt.UserProperty) {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range h[name] {
			list = append(list, mqtt.UserProperty{Key: name, Value: v})
		}
	}
	return list
}
