package certificate

import (
	"crypto/tls"
	"log/slog"
)

// Options say what a listener's TLS is made of.
type Options struct {
	// Pairs are the broker's own certificates, at least one. A client gets the
	// first that is for the name that it asked for (SNI), and the first of all
	// if none is.
	Pairs []Pair
	// MinVersion is tls.VersionTLS12, the default, or tls.VersionTLS13.
	MinVersion uint16
	// Protocols are offered by ALPN.
	Protocols []string
	// Clients says whether clients need a certificate.
	Clients Clients
	// ClientCAs are PEM files with the authorities whose clients are let in;
	// no others are, those of the operating system neither. CRLs are PEM or DER
	// files with what they revoked. Both only count if clients are asked.
	ClientCAs []string
	CRLs      []string
	// Name is what the log calls the listener.
	Name   string
	Logger *slog.Logger // nil discards
}

// Pair is a certificate with its chain and its private key.
type Pair struct {
	// Certificate and Key are PEM files. Key may be empty if the key is in the
	// first one.
	Certificate, Key string
	// PKCS12 is a file with everything, in place of both; Password is asked for
	// its password whenever the file is read. nil means the empty password.
	PKCS12   string
	Password func() (string, error)
}

// Clients says whether clients need a certificate.
type Clients uint8

// A client's certificate is not asked for; asked for, and held against the
// authorities if there is one; or needed.
const (
	NotAsked Clients = iota
	Optional
	Required
)

func (c Clients) auth() tls.ClientAuthType {
	switch c {
	case Optional:
		return tls.VerifyClientCertIfGiven
	case Required:
		return tls.RequireAndVerifyClientCert
	default:
		return tls.NoClientCert
	}
}
