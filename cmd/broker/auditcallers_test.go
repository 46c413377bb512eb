//go:build unix

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
)

// Over the network the audit names the certificate that was shown, or says that
// it was the token, and from where; who gets no further leaves no line.
func TestAuditNamesCallers(t *testing.T) {
	s := newTLSSite(t)
	s.keep("client", s.issue(certificate.Request{CommonName: "operator", Client: true}))
	ca := []string{"--cacert", s.path("ca.crt")}
	for _, tt := range []struct {
		tls, by, caller string
		good, bad       []string
	}{
		{by: "token", good: []string{"--token-file", s.path("data/admin.token")}},
		{
			tls: ", client_certificates: required, client_ca: [ca.crt]", by: "certificate", caller: "CN=operator",
			good: []string{"--cert", s.path("client.crt"), "--key", s.path("client.key")}, bad: []string{"--token-file", s.path("data/admin.token")},
		},
	} {
		s.write("gatehouse.yaml", "listeners: [{url: 'tcp://127.0.0.1:0'}]\ndata_dir: data\nrun_dir: run\nlog: {audit: "+tt.by+".jsonl}\n"+
			"admin: {url: 'https://127.0.0.1:0', tls: {certificates: [{certificate: broker.crt, key: broker.key}]"+tt.tls+"}}\n")
		p := s.start()
		set := append([]string{"log", "level", "info", "--admin", p.adminURL()}, ca...)
		if c := s.typeAway(append(set, tt.bad...)...); c.wait() == 0 {
			t.Errorf("%s: a stranger is let in", tt.by)
		}
		if c := s.typeAway(append(set, tt.good...)...); c.wait() != 0 {
			t.Errorf("%s: %s", tt.by, &c.err)
		}
		p.stop()
		var l struct{ Call, By, Caller, Address string }
		text := s.read(tt.by + ".jsonl")
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if l.By != tt.by || l.Caller != tt.caller || !strings.HasPrefix(l.Address, "127.0.0.1:") || !strings.HasSuffix(l.Call, "/SetLogLevel") {
			t.Errorf("%s", text)
		}
	}
}
