package validator

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Certificates in the place of passwords, beside them, and as what tells who a
// client is.
func TestDecideByCertificate(t *testing.T) {
	sum := sha256.Sum256([]byte("seven"))
	j, _ := newTestJudge(t, fmt.Sprintf(`
  - name: device-7
    certificate: {cn: "%%u", issuer: "CN=devices"}
    allow: {both: "d/%%u"}
  - name: pinned
    certificate: [{fingerprint: "%X"}, {email: pinned@example.org}]
    allow: {both: p}
  - name: both
    password: %s
    certificate: {dns: [a.example, b.example]}
    allow: {both: b}
  - name: sleeper
    disabled: true
    certificate: {uri: "urn:sleeper"}
    allow: {both: s}
anonymous: {allow: {subscribe: public}}
`, sum, hashOf(t, "both-pw")), false)
	device := &pluginapi.Certificate{CommonName: "device-7", Issuer: "CN=devices", Verified: true}
	for _, tc := range []struct {
		name     string
		cert     *pluginapi.Certificate
		login    *pluginapi.Connect
		want     outcome
		code     pluginapi.ReasonCode
		username string // that the decision gives
	}{
		{"user and certificate", device, &pluginapi.Connect{Username: "device-7", HasUsername: true}, allowed, 0, ""},
		{"password does not matter", device, login("device-7", "x", "c"), allowed, 0, ""},
		{"certificate alone", device, &pluginapi.Connect{}, allowed, 0, "device-7"},
		{"not verified", &pluginapi.Certificate{CommonName: "device-7", Issuer: "CN=devices"}, login("device-7", "x", "c"), badCertificate, pluginapi.BadUserNameOrPassword, ""},
		{"other issuer", &pluginapi.Certificate{CommonName: "device-7", Issuer: "CN=x", Verified: true}, login("device-7", "x", "c"), badCertificate, pluginapi.BadUserNameOrPassword, ""},
		{"another's", &pluginapi.Certificate{CommonName: "device-8", Issuer: "CN=devices", Verified: true}, login("device-7", "x", "c"), badCertificate, pluginapi.BadUserNameOrPassword, ""},
		{"none", nil, login("device-7", "x", "c"), badCertificate, pluginapi.BadUserNameOrPassword, ""},
		{"by fingerprint", &pluginapi.Certificate{SHA256: sum[:], Verified: true}, &pluginapi.Connect{}, allowed, 0, "pinned"},
		{"by e-mail", &pluginapi.Certificate{EmailAddresses: []string{"x@y", "pinned@example.org"}, Verified: true}, &pluginapi.Connect{}, allowed, 0, "pinned"},
		{"password and certificate", &pluginapi.Certificate{DNSNames: []string{"b.example"}, Verified: true}, login("both", "both-pw", "c"), allowed, 0, ""},
		{"wrong password", &pluginapi.Certificate{DNSNames: []string{"b.example"}, Verified: true}, login("both", "x", "c"), badPassword, pluginapi.BadUserNameOrPassword, ""},
		{"password without certificate", nil, login("both", "both-pw", "c"), badCertificate, pluginapi.BadUserNameOrPassword, ""},
		{"certificate that needs a password too", &pluginapi.Certificate{DNSNames: []string{"b.example"}, Verified: true}, &pluginapi.Connect{}, allowed, 0, "-"},
		{"disabled", &pluginapi.Certificate{URIs: []string{"urn:sleeper"}, Verified: true}, &pluginapi.Connect{}, disabledUser, pluginapi.Banned, ""},
		{"nobody's", &pluginapi.Certificate{CommonName: "x", Verified: true}, &pluginapi.Connect{}, allowed, 0, "-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := *tc.login
			if tc.cert != nil {
				c.TLS = &pluginapi.TLS{Certificate: tc.cert}
			}
			got, err := j.decide(t.Context(), &c)
			if err != nil || got.outcome != tc.want || got.decision.Code != tc.code {
				t.Fatalf("outcome %s, code %v, %v", outcomeNames[got.outcome], got.decision.Code, err)
			}
			switch name := got.decision.Username; {
			case tc.username == "" || tc.username == "-":
				if name != nil {
					t.Errorf("user name %q", *name)
				}
				if anonymous := len(got.decision.Grants) == 1 && got.decision.Grants[0].Filter == "public"; anonymous != (tc.username == "-") {
					t.Errorf("grants %+v", got.decision.Grants)
				}
			case name == nil || *name != tc.username:
				t.Errorf("user name %v, want %q", name, tc.username)
			}
		})
	}
}
