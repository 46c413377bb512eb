package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// revocations is one list of revoked certificates.
type revocations struct {
	issuer  []byte // raw subject of the authority
	serials map[string]time.Time
	next    time.Time // when a newer list is due; zero if that is not said
}

// newRevocations reads a list, which one of the authorities has to have signed.
func newRevocations(der []byte, authorities []*x509.Certificate) (*revocations, error) {
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	for _, a := range authorities {
		if bytes.Equal(a.RawSubject, l.RawIssuer) && l.CheckSignatureFrom(a) == nil {
			r := &revocations{
				issuer: l.RawIssuer, next: l.NextUpdate,
				serials: make(map[string]time.Time, len(l.RevokedCertificateEntries)),
			}
			for _, e := range l.RevokedCertificateEntries {
				r.serials[string(e.SerialNumber.Bytes())] = e.RevocationTime
			}
			return r, nil
		}
	}
	return nil, fmt.Errorf("the list of revoked certificates by %s is signed by no authority of this listener", l.Issuer)
}

// RevokedError says that a certificate was revoked.
type RevokedError struct {
	Subject, Serial string
	At              time.Time
}

func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate %s of %q was revoked at %s", e.Serial, e.Subject, e.At.UTC().Format(time.RFC3339))
}

// verify is called for every connection, after the TLS library's own checks. A
// session that is resumed has passed those with what was in use when it began,
// so that its certificate is held against today's authorities again.
func (m *material) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 || m.roots == nil {
		return nil
	}
	chains := s.VerifiedChains
	if s.DidResume {
		intermediates := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		var err error
		chains, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots: m.roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
	}
	var revoked error
	for _, chain := range chains {
		if revoked = m.revokedIn(chain); revoked == nil {
			return nil
		}
	}
	if revoked == nil {
		return nil
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: revoked}
}

// revokedIn looks for the certificates of a chain in the lists.
func (m *material) revokedIn(chain []*x509.Certificate) error {
	for _, c := range chain {
		for _, l := range m.crls {
			if !bytes.Equal(l.issuer, c.RawIssuer) {
				continue
			}
			if at, ok := l.serials[string(c.SerialNumber.Bytes())]; ok {
				return &RevokedError{Subject: c.Subject.String(), Serial: c.SerialNumber.Text(16), At: at}
			}
		}
	}
	return nil
}
