package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
)

func tlsStep(cfg *tls.Config) func(context.Context, net.Conn) (net.Conn, error) {
	return func(ctx context.Context, nc net.Conn) (net.Conn, error) {
		tc := tls.Server(nc, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, &tlsError{err}
		}
		state := tc.ConnectionState()
		c := &tlsConn{Conn: tc, about: Info{TLS: &state}}
		if d := Describe(nc); d != nil {
			c.about.Proxy = d.Proxy
		}
		return c, nil
	}
}

type tlsConn struct {
	*tls.Conn
	about Info
}

func (c *tlsConn) info() *Info { return &c.about }

// tlsError is a TLS handshake that failed, with the certificate that was at
// fault if one was.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// Attrs implements what the log of refusals asks for.
func (e *tlsError) Attrs() []slog.Attr {
	var wrong *tls.CertificateVerificationError
	if !errors.As(e.err, &wrong) || len(wrong.UnverifiedCertificates) == 0 {
		return nil
	}
	leaf := wrong.UnverifiedCertificates[0]
	return []slog.Attr{
		slog.String("subject", leaf.Subject.String()), slog.String("serial", leaf.SerialNumber.Text(16)),
		slog.String("issuer", leaf.Issuer.String()),
	}
}
