package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// Issued is a certificate with its private key.
type Issued struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Request is what a certificate shall say.
type Request struct {
	CommonName string
	// Hosts are DNS names and IP addresses.
	Hosts  []string
	Emails []string
	URIs   []string
	// Server and Client say what it is good for.
	Server, Client bool
	// NotBefore is five minutes ago if it is zero, for clocks that differ.
	NotBefore time.Time
	Valid     time.Duration
}

// NewAuthority makes an authority that issues certificates to servers and
// clients, and no further authorities.
func NewAuthority(name string, valid time.Duration) (*Issued, error) {
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return create(t, nil, time.Time{}, valid)
}

// Issue makes a certificate that the authority signs.
func (a *Issued) Issue(r Request) (*Issued, error) {
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: r.CommonName}, EmailAddresses: r.Emails, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, h := range r.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	for _, text := range r.URIs {
		u, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		t.URIs = append(t.URIs, u)
	}
	if r.Server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	return create(t, a, r.NotBefore, r.Valid)
}

// create fills in what all have, and signs; without an authority by itself.
func create(t *x509.Certificate, by *Issued, notBefore time.Time, valid time.Duration) (*Issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	if notBefore.IsZero() {
		notBefore = time.Now().Add(-5 * time.Minute)
	}
	t.NotBefore, t.NotAfter = notBefore, notBefore.Add(valid)
	t.BasicConstraintsValid = true
	if by == nil {
		by = &Issued{t, key}
	} else if t.NotAfter.After(by.Certificate.NotAfter) {
		t.NotAfter = by.Certificate.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by.Certificate, key.Public(), by.Key)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Issued{c, key}, nil
}

// Revoke signs a list of revoked certificates that is good for a time. number
// grows from list to list.
func (a *Issued) Revoke(number int64, valid time.Duration, revoked ...*x509.Certificate) ([]byte, error) {
	now := time.Now()
	l := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: now, NextUpdate: now.Add(valid)}
	for _, c := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.Certificate, a.Key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

// PEM returns the certificate and the key as files hold them.
func (a *Issued) PEM() (certificate, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.Key)
	if err != nil {
		return nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw})
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParsePEM reads what [Issued.PEM] wrote.
func ParsePEM(certificate, key []byte) (*Issued, error) {
	cb, _ := pem.Decode(certificate)
	kb, _ := pem.Decode(key)
	if cb == nil || kb == nil {
		return nil, errors.New("there is no certificate or no key, in PEM")
	}
	c, err := x509.ParseCertificate(cb.Bytes)
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(kb.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T signs nothing", k)
	}
	return &Issued{c, signer}, nil
}
