//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

var adminOpened = regexp.MustCompile(`admin API open" url=(\S+)`)

// adminURL is where the process has opened its admin API to the network.
func (p *proc) adminURL() string {
	p.t.Helper()
	p.waitLog("admin API open")
	m := adminOpened.FindStringSubmatch(p.log())
	if m == nil {
		p.t.Fatalf("no address of the admin API in the log:\n%s", p.log())
	}
	return m[1]
}

// typeAway is a command without the run folder.
func (s *site) typeAway(args ...string) *typed {
	c := &typed{t: s.t, args: args, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.exit = run(args, strings.NewReader(""), &c.out, &c.err)
	}()
	return c
}

// The token is made, is the broker's user's alone, and opens the door; nothing
// else does.
func TestAdminWithToken(t *testing.T) {
	s := newSite(t, "admin: {url: 'http://127.0.0.1:0'}\n")
	p := s.start()
	at := p.adminURL()
	info, err := os.Stat(s.path("data/admin.token"))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 65 {
		t.Fatalf("%v, %v", info, err)
	}
	token := strings.TrimSpace(string(s.read("data/admin.token")))
	s.write("wrong", strings.Repeat("0", 64))
	for _, tt := range []struct {
		args string
		exit int
		says string
	}{
		{"--token-file " + s.path("data/admin.token"), 0, ""},
		{"--token-file " + s.path("wrong"), exitRefused, "wants a token"},
		{"", exitRefused, "wants a token"},
		{"--token-file " + s.path("none"), 1, "no such file"},
	} {
		c := s.typeAway(strings.Fields("plugin list --admin " + at + " " + tt.args)...)
		if c.wait() != tt.exit || !strings.Contains(c.err.String(), tt.says) {
			t.Errorf("%q: %d %s", tt.args, c.exit, &c.err)
		}
	}
	t.Setenv("GATEHOUSE_ADMIN", at)
	t.Setenv("GATEHOUSE_ADMIN_TOKEN_FILE", s.path("data/admin.token"))
	if c := s.typeAway("plugin", "list"); c.wait() != 0 {
		t.Errorf("by the environment: %s", &c.err)
	}
	if out := s.does("plugin", "list"); !strings.Contains(out, "NAME") { // by the socket, which asks for nothing
		t.Error(out)
	}
	t.Setenv("GATEHOUSE_ADMIN", "unix://"+s.path("nobody"))
	if c := s.typeAway("plugin", "list"); c.wait() != exitNoBroker || !strings.Contains(c.err.String(), s.path("nobody")) {
		t.Errorf("nobody there: %d %s", c.exit, &c.err)
	}
	hostile(t, at, token)
	p.stop()
	first := token
	p = s.start()
	if c := s.typeAway("plugin", "list", "--admin", p.adminURL()); c.wait() != 0 || first != strings.TrimSpace(string(s.read("data/admin.token"))) {
		t.Errorf("after a restart: %s", &c.err)
	}
}

// hostile is what one does who should not be there.
func hostile(t *testing.T, at, token string) {
	t.Helper()
	post := func(mod func(*http.Request)) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at+"/gatehouse.admin.v1.ClientService/ListClients", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		mod(r)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	for name, tt := range map[string]struct {
		want int
		mod  func(*http.Request)
	}{
		"a friend":         {200, func(*http.Request) {}},
		"no token":         {401, func(r *http.Request) { r.Header.Del("Authorization") }},
		"another token":    {401, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+strings.Repeat("0", 64)) }},
		"a rebound name":   {421, func(r *http.Request) { r.Host = "evil.example" }},
		"a foreign page":   {403, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
		"a preflight":      {403, func(r *http.Request) { r.Method = http.MethodOptions; r.Header.Set("Origin", "https://evil.example") }},
		"a form":           {415, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }},
		"an oversize body": {429, func(r *http.Request) { r.Body = io.NopCloser(io.LimitReader(endless{}, 17<<20)); r.ContentLength = -1 }},
	} {
		if got, body := post(tt.mod); got != tt.want {
			t.Errorf("%s: %d %.200s", name, got, body)
		}
	}
	// Many watchers at once, of whom some are let in; who is in goes on.
	hc := &http.Client{Transport: &adminTransport{to: parsedURL(t, at), token: token, http: &http.Transport{
		Protocols: unencrypted(), DialContext: new(net.Dialer).DialContext,
	}}}
	events := adminv1connect.NewEventServiceClient(hc, adminBase, connect.WithGRPC())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type told struct{ in, refused bool }
	results := make(chan told)
	const watchers = 10_000
	turns := make(chan struct{}, 200)
	for range watchers {
		go func() {
			turns <- struct{}{}
			stream, err := events.WatchEvents(ctx, new(adminv1.WatchEventsRequest))
			if err != nil {
				<-turns
				results <- told{refused: connect.CodeOf(err) == connect.CodeResourceExhausted}
				return
			}
			in := stream.Receive()
			<-turns
			results <- told{in, connect.CodeOf(stream.Err()) == connect.CodeResourceExhausted}
			if in {
				<-ctx.Done()
			}
			_ = stream.Close()
		}()
	}
	in, refused := 0, 0
	for range watchers {
		r := <-results
		if r.in {
			in++
		} else if r.refused {
			refused++
		}
	}
	if in != 64 || in+refused != watchers {
		t.Errorf("%d watch, %d were refused", in, refused)
	}
	if got, body := post(func(*http.Request) {}); got != 200 {
		t.Errorf("after all that: %d %s", got, body)
	}
}

func parsedURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func unencrypted() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// Over TLS: the token, or a certificate of the right authority, which can be
// asked for both.
func TestAdminOverTLS(t *testing.T) {
	s := newTLSSite(t)
	s.keep("client", s.issue(certificate.Request{CommonName: "operator", Client: true}))
	other, err := certificate.NewAuthority("other CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.keep("stranger", (&tlsSite{s.site, other}).issue(certificate.Request{CommonName: "operator", Client: true}))
	base := "listeners: [{url: 'tcp://127.0.0.1:0'}]\ndata_dir: data\nrun_dir: run\nadmin: {url: 'https://127.0.0.1:0', tls: {certificates: [{certificate: broker.crt, key: broker.key}]%s}%s}\n"
	const mutual = ", client_certificates: required, client_ca: [ca.crt]"
	ca := "--cacert " + s.path("ca.crt")
	token := " --token-file " + s.path("data/admin.token")
	client := " --cert " + s.path("client.crt") + " --key " + s.path("client.key")
	for name, tt := range map[string]struct {
		tls, more string
		good, bad []string
	}{
		"token":       {"", "", []string{ca + token}, []string{token, ca}},
		"certificate": {mutual, "", []string{ca + client}, []string{ca, ca + " --cert " + s.path("stranger.crt") + " --key " + s.path("stranger.key")}},
		"both":        {mutual, ", token_file: data/admin.token", []string{ca + client + token}, []string{ca + client, ca + token}},
	} {
		s.write("gatehouse.yaml", fmt.Sprintf(base, tt.tls, tt.more))
		p := s.start()
		at := p.adminURL()
		for _, args := range tt.good {
			if c := s.typeAway(strings.Fields("plugin list --admin " + at + " " + args)...); c.wait() != 0 {
				t.Errorf("%s: %s: %s", name, args, &c.err)
			}
		}
		for _, args := range tt.bad {
			if c := s.typeAway(strings.Fields("plugin list --admin " + at + " " + args)...); c.wait() == 0 {
				t.Errorf("%s: %s is let in", name, args)
			}
		}
		p.stop()
	}
	// gRPC over TLS is HTTP/2.
	s.write("gatehouse.yaml", fmt.Sprintf(base, mutual, ""))
	p := s.start()
	pair, err := tls.LoadX509KeyPair(s.path("client.crt"), s.path("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientTLS(s.path("ca.crt"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	list, err := adminv1connect.NewClientServiceClient(hc, p.adminURL(), connect.WithGRPC()).ListClients(t.Context(), new(adminv1.ListClientsRequest))
	if err != nil || len(list.GetClients()) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestAdminTokenIsNoGood(t *testing.T) {
	s := newSite(t, "admin: {url: 'http://127.0.0.1:0', token_file: short}\n")
	s.write("short", "admin\n")
	if _, said := s.fails(); !strings.Contains(said, "at least 16 characters") {
		t.Error(said)
	}
	if _, said := s.fails("--admin", "http://0.0.0.0:0"); !strings.Contains(said, "plain http would show the token") {
		t.Error(said)
	}
}
