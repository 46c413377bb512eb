package certificate

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"os"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// maxFile bounds a file, in bytes: lists of revoked certificates are the
// largest.
const maxFile = 64 << 20

// material is what was read at one moment. It is never changed.
type material struct {
	sum    [sha256.Size]byte // of all that was read
	config *tls.Config
	pairs  []tls.Certificate
	roots  *x509.CertPool
	crls   []*revocations
}

// reader reads files and remembers what of, so that it can be told whether
// anything has changed.
type reader struct {
	hash hash.Hash
	now  time.Time
}

func (r *reader) file(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a file, or a very large one", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(r.hash, "%q %d\n", path, len(b))
	_, _ = r.hash.Write(b)
	return b, nil
}

// load reads everything.
func load(o *Options, now time.Time) (*material, error) {
	r := &reader{sha256.New(), now}
	m := new(material)
	if len(o.Pairs) == 0 {
		return nil, errors.New("there is no certificate")
	}
	for _, p := range o.Pairs {
		pair, err := r.pair(&p)
		if err != nil {
			return nil, err
		}
		m.pairs = append(m.pairs, pair)
	}
	if o.Clients != NotAsked {
		authorities, err := r.authorities(o.ClientCAs)
		if err != nil {
			return nil, err
		}
		m.roots = x509.NewCertPool()
		for _, c := range authorities {
			m.roots.AddCert(c)
		}
		for _, path := range o.CRLs {
			lists, err := r.revoked(path, authorities)
			if err != nil {
				return nil, err
			}
			m.crls = append(m.crls, lists...)
		}
	}
	copy(m.sum[:], r.hash.Sum(nil))
	m.config = &tls.Config{
		MinVersion: max(o.MinVersion, tls.VersionTLS12), Certificates: m.pairs, NextProtos: o.Protocols,
		ClientAuth: o.Clients.auth(), ClientCAs: m.roots, VerifyConnection: m.verify,
	}
	return m, nil
}

func (r *reader) pair(p *Pair) (tls.Certificate, error) {
	if p.PKCS12 != "" {
		return r.pkcs12(p)
	}
	certificate, err := r.file(p.Certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, from := certificate, p.Certificate
	if p.Key != "" {
		from = p.Key
		if key, err = r.file(p.Key); err != nil {
			return tls.Certificate{}, err
		}
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return pair, fmt.Errorf("%s with %s: %w", p.Certificate, from, err)
	}
	return pair, nil
}

func (r *reader) pkcs12(p *Pair) (pair tls.Certificate, err error) {
	text, err := r.file(p.PKCS12)
	if err != nil {
		return pair, err
	}
	password := ""
	if p.Password != nil {
		if password, err = p.Password(); err != nil {
			return pair, fmt.Errorf("password of %s: %w", p.PKCS12, err)
		}
	}
	key, leaf, chain, err := pkcs12.DecodeChain(text, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return pair, fmt.Errorf("%s: the password is wrong", p.PKCS12)
	}
	if err != nil {
		return pair, fmt.Errorf("%s: %w", p.PKCS12, err)
	}
	pair = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair, nil
}

// authorities reads all certificates of some PEM files.
func (r *reader) authorities(paths []string) (list []*x509.Certificate, err error) {
	for _, path := range paths {
		text, err := r.file(path)
		if err != nil {
			return nil, err
		}
		before := len(list)
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if !c.IsCA {
				return nil, fmt.Errorf("%s: %s is no authority", path, c.Subject)
			}
			list = append(list, c)
		}
		if len(list) == before {
			return nil, fmt.Errorf("%s: there is no certificate in it, in PEM", path)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("certificates of clients are asked for, and no authority is named that issues them")
	}
	return list, nil
}

// revoked reads the lists of one file.
func (r *reader) revoked(path string, authorities []*x509.Certificate) (lists []*revocations, err error) {
	text, err := r.file(path)
	if err != nil {
		return nil, err
	}
	parse := func(der []byte) error {
		l, err := newRevocations(der, authorities)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		lists = append(lists, l)
		return nil
	}
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		return lists, parse(text)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "X509 CRL" {
			if err := parse(block.Bytes); err != nil {
				return nil, err
			}
		}
	}
	if len(lists) == 0 {
		return nil, fmt.Errorf("%s: there is no list of revoked certificates in it", path)
	}
	return lists, nil
}
