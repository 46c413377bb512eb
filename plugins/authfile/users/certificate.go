package users

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// certificateRule is what a user's certificate has to be like: each field that
// is given has to have one of its values.
type certificateRule struct {
	fingerprint, subject, issuer, cn, dns, email, uri []string
}

// certificates reads one rule, or a list of which one has to fit.
func (r *reader) certificates(n ast.Node, a *account) {
	a.certificateNode = n
	items := []ast.Node{n}
	if s, ok := n.(*ast.SequenceNode); ok {
		items = s.Values
	}
	if len(items) == 0 {
		r.complain(n, "an empty list fits no certificate; leave it out if the password is enough")
	}
	for _, item := range items {
		var c certificateRule
		values := func(to *[]string) func(ast.Node) {
			return func(v ast.Node) { r.certificateValues(v, to) }
		}
		before := len(r.problems)
		r.mapping(item, "certificate",
			field{"fingerprint", func(v ast.Node) { r.fingerprints(v, &c.fingerprint) }},
			field{"subject", values(&c.subject)},
			field{"issuer", values(&c.issuer)},
			field{"cn", values(&c.cn)},
			field{"dns", values(&c.dns)},
			field{"email", values(&c.email)},
			field{"uri", values(&c.uri)},
		)
		if c.empty() && len(r.problems) == before {
			r.complain(item, "certificate says nothing; every certificate would fit")
		}
		a.certificates = append(a.certificates, c)
	}
}

func (r *reader) certificateValues(n ast.Node, to *[]string) {
	r.texts(n, "a part of a certificate", func(item ast.Node, _ string) {
		if s, ok := r.mqttString(item, "a part of a certificate"); ok {
			*to = append(*to, s)
		}
	})
}

// fingerprints reads SHA-256 sums, as openssl prints them or without colons.
func (r *reader) fingerprints(n ast.Node, to *[]string) {
	r.texts(n, "a fingerprint", func(item ast.Node, s string) {
		plain := strings.ToLower(strings.ReplaceAll(s, ":", ""))
		if b, err := hex.DecodeString(plain); err != nil || len(b) != 32 {
			r.complain(item, "a fingerprint is a SHA-256 sum: 64 hexadecimal digits, with or without colons")
			return
		}
		*to = append(*to, plain)
	})
}

func (c *certificateRule) fields() []*[]string {
	return []*[]string{&c.fingerprint, &c.subject, &c.issuer, &c.cn, &c.dns, &c.email, &c.uri}
}

func (c *certificateRule) empty() bool {
	return !slices.ContainsFunc(c.fields(), func(list *[]string) bool { return len(*list) > 0 })
}

// expand puts the user name in the place of %u.
func (c *certificateRule) expand(username string) {
	for _, list := range c.fields() {
		for i, s := range *list {
			(*list)[i] = strings.ReplaceAll(s, usernameMark, username)
		}
	}
}

func (c *certificateRule) fits(t *pluginapi.Certificate) bool {
	for _, f := range []struct{ want, got []string }{
		{c.fingerprint, []string{hex.EncodeToString(t.SHA256)}},
		{c.subject, []string{t.Subject}},
		{c.issuer, []string{t.Issuer}},
		{c.cn, []string{t.CommonName}},
		{c.dns, t.DNSNames},
		{c.email, t.EmailAddresses},
		{c.uri, t.URIs},
	} {
		if len(f.want) > 0 && !slices.ContainsFunc(f.got, func(s string) bool { return slices.Contains(f.want, s) }) {
			return false
		}
	}
	return true
}

// NeedsCertificate reports whether the user has to have one.
func (u *User) NeedsCertificate() bool { return len(u.certificates) > 0 }

// CertificateFits reports whether a client's TLS layer has a certificate of the
// user's. One that was not verified is none. t may be nil.
func (u *User) CertificateFits(t *pluginapi.TLS) bool {
	return t != nil && t.Certificate != nil && t.Certificate.Verified &&
		slices.ContainsFunc(u.certificates, func(c certificateRule) bool { return c.fits(t.Certificate) })
}

// ByCertificate returns the first user of the file who needs nothing but a
// certificate, and whose it is; nil if there is none.
func (s *Set) ByCertificate(t *pluginapi.TLS) *User {
	for _, u := range s.certified {
		if u.CertificateFits(t) {
			return u
		}
	}
	return nil
}
