package pluginapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// validator is a validator made of a function, as a plugin.
type validator = pluginapi.ValidatorFunc

func validatorPlugin(v validator) pluginapi.Plugin { return pluginapi.Plugin{Name: "v", Hooks: v} }

// abstain has no opinion on anybody.
var abstain validator = func(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
	return pluginapi.NoOpinion(), nil
}

// TestConnectArrives sends a CONNECT in which everything is set.
func TestConnectArrives(t *testing.T) {
	want := &pluginapi.Connect{
		ConnectionID: 1 << 60, ClientID: "c", Username: "u", HasUsername: true, Password: []byte{0, 1}, HasPassword: true,
		Protocol: 5, CleanStart: true, KeepAlive: 65535 * time.Second,
		Will: &pluginapi.Will{Delay: 3 * time.Second, Message: plugintest.Message("w", "p", func(m *pluginapi.Message) {
			m.PayloadIsUTF8, m.Expiry, m.Retain = new(true), new(uint32(9)), true
			m.ContentType, m.ResponseTopic, m.CorrelationData = "t", "r", []byte("c")
			m.UserProperties = []pluginapi.UserProperty{{Key: "a", Value: "b"}, {Key: "a", Value: "b"}}
			m.Created = m.Created.Local()
		})},
		SessionExpiry: new(uint32(0xFFFFFFFF)), ReceiveMaximum: new(uint16(65535)), MaximumPacketSize: new(uint32(1 << 31)),
		TopicAliasMaximum: 65535, RequestResponseInfo: true, RequestProblemInfo: true,
		UserProperties: []pluginapi.UserProperty{{Key: "k", Value: "v"}, {Key: "k", Value: "v"}},
		AuthMethod:     "SCRAM", AuthData: []byte{9},
		PeerAddress: "1.2.3.4:5", LocalAddress: "[::1]:1883", Listener: "l", Transport: "wss",
		TLS: &pluginapi.TLS{Version: "TLS 1.3", CipherSuite: "x", ServerName: "s", ALPN: "mqtt", Certificate: &pluginapi.Certificate{
			DER: []byte{1}, Subject: "CN=a", Issuer: "CN=b", CommonName: "a", DNSNames: []string{"d"}, EmailAddresses: []string{"e"},
			URIs: []string{"spiffe://x"}, IPAddresses: []string{"::1"}, SHA256: make([]byte, 32), Serial: "0a", Verified: true,
		}},
		WebSocket: &pluginapi.WebSocket{Path: "/mqtt?x", Host: "h", Origin: "o", Headers: []pluginapi.UserProperty{{Key: "Cookie", Value: "c"}}},
		Proxy:     &pluginapi.Proxy{Address: "9.9.9.9:1", TLVs: map[uint32][]byte{0xE1: {1}}},
	}
	for name, c := range map[string]*pluginapi.Connect{
		"everything": want, "nothing": {}, "no credentials": {ClientID: "x"},
		"empty credentials": {HasUsername: true, HasPassword: true, Password: []byte{}},
	} {
		t.Run(name, func(t *testing.T) {
			var got *pluginapi.Connect
			p := plugintest.Start(t, validatorPlugin(func(_ context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
				got = c
				return pluginapi.NoOpinion(), nil
			}))
			if _, err := p.ValidateConnection(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecisionArrives(t *testing.T) {
	cases := map[string]*pluginapi.Decision{
		"abstain":   pluginapi.NoOpinion(),
		"deny":      pluginapi.Denied(pluginapi.BadUserNameOrPassword, "no"),
		"deny, 0":   pluginapi.Denied(0, ""),
		"allow":     pluginapi.Allowed(),
		"no grants": {Word: pluginapi.Allow, Grants: []pluginapi.Grant{}},
		"everything": {
			Word: pluginapi.Allow, Code: 0, Reason: "r", ServerReference: "s", AssignedClientID: "id",
			UserProperties: []pluginapi.UserProperty{{Key: "a", Value: "b"}}, Username: new(""), Mountpoint: "m/",
			Limits: pluginapi.Limits{
				KeepAlive: new(uint16(0)), SessionExpiry: new(uint32(1)), ReceiveMaximum: new(uint16(2)), MaximumPacketSize: new(uint32(3)),
				MaximumQoS: new(pluginapi.QoS(0)), TopicAliasMaximum: new(uint16(4)), QueueMessages: new(uint32(5)), QueueBytes: new(uint64(6)),
				MessagesPerSecond: new(7.5), BytesPerSecond: new(8.5), Subscriptions: new(uint32(9)),
			},
			Grants: []pluginapi.Grant{
				{Filter: "a/%c", Actions: pluginapi.Publish | pluginapi.Receive, MaxQoS: new(pluginapi.QoS(1)), Retain: new(false)},
				{Filter: "#", Deny: true, Actions: pluginapi.Subscribe},
				{Filter: "x"},
			},
			ValidFor: time.Hour, CacheFor: time.Second, Items: map[string][]byte{"i": {0}}, AuthData: []byte{1},
			Durability: pluginapi.DurabilityNone,
			Quota: &pluginapi.Quota{
				Account: "a", TimeZone: "Europe/Berlin", Of: pluginapi.Publish, BytesPerDay: new(uint64(0)),
				BytesPerMonth: new(uint64(1)), MessagesPerDay: new(uint64(2)), MessagesPerMonth: new(uint64(3)),
			},
		},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			p := plugintest.Start(t, validatorPlugin(func(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
				return want, nil
			}))
			got, err := p.ValidateConnection(t.Context(), plugintest.Connect("c"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestShortTimesAreRoundedUp: 0 would mean for ever.
func TestShortTimesAreRoundedUp(t *testing.T) {
	p := plugintest.Start(t, validatorPlugin(func(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
		return &pluginapi.Decision{Word: pluginapi.Allow, ValidFor: time.Millisecond, CacheFor: 1001 * time.Millisecond}, nil
	}))
	d, err := p.ValidateConnection(t.Context(), plugintest.Connect("c"))
	if err != nil || d.ValidFor != time.Second || d.CacheFor != 2*time.Second {
		t.Errorf("decision %+v, %v; want 1s and 2s", d, err)
	}
}

func TestIllegalDecisions(t *testing.T) {
	allow := func(change func(*pluginapi.Decision)) *pluginapi.Decision {
		d := pluginapi.Allowed()
		change(d)
		return d
	}
	cases := map[string]*pluginapi.Decision{
		"no decision":      nil,
		"word 3":           {Word: 3},
		"durability 4":     {Word: pluginapi.Allow, Durability: 4},
		"only publish and": {Word: pluginapi.Allow, Quota: &pluginapi.Quota{Of: pluginapi.Subscribe}},
		"account of a":     {Word: pluginapi.Allow, Quota: &pluginapi.Quota{Account: "\xff"}},
		"reason code":      pluginapi.Denied(pluginapi.GrantedQoS1, ""),
		"reason":           pluginapi.Denied(0, "\xff"),
		"username":         allow(func(d *pluginapi.Decision) { d.Username = new("\xff") }),
		"mountpoint":       allow(func(d *pluginapi.Decision) { d.Mountpoint = "\xff" }),
		"item":             allow(func(d *pluginapi.Decision) { d.Items = map[string][]byte{"\xff": nil} }),
		"user property":    allow(func(d *pluginapi.Decision) { d.UserProperties = []pluginapi.UserProperty{{Key: "\xff"}} }),
		"ValidFor is -1ns": allow(func(d *pluginapi.Decision) { d.ValidFor = -1 }),
		"CacheFor is":      allow(func(d *pluginapi.Decision) { d.CacheFor = 1 << 62 }),
		"has no filter":    pluginapi.Allowed(pluginapi.Grant{}),
		"filter":           pluginapi.Allowed(pluginapi.Grant{Filter: "\xff"}),
		"with QoS 3":       pluginapi.Allowed(pluginapi.Grant{Filter: "a", MaxQoS: new(pluginapi.QoS(3))}),
		"actions 0x8":      pluginapi.Allowed(pluginapi.Grant{Filter: "a", Actions: 8}),
		"limit of QoS 3":   allow(func(d *pluginapi.Decision) { d.Limits.MaximumQoS = new(pluginapi.QoS(3)) }),
	}
	for want, d := range cases {
		t.Run(want, func(t *testing.T) {
			p := plugintest.Start(t, validatorPlugin(func(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
				return d, nil
			}))
			got, err := p.ValidateConnection(t.Context(), plugintest.Connect("c"))
			if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), want) {
				t.Errorf("decision %v, error %v; want Internal with %q", got, err, want)
			}
		})
	}
}

func TestValidatorErrors(t *testing.T) {
	cases := []struct {
		err  error
		code codes.Code
		text string
	}{
		{errors.New("database is gone"), codes.Unknown, "database is gone"},
		{status.Error(codes.Unavailable, "later"), codes.Unavailable, "later"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "deadline"},
		{errors.New("not \xff utf-8"), codes.Unknown, "not"},
	}
	for _, c := range cases {
		p := plugintest.Start(t, validatorPlugin(func(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
			return nil, c.err
		}))
		_, err := p.ValidateConnection(t.Context(), plugintest.Connect("c"))
		if status.Code(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v arrives as %v, want %v", c.err, err, c.code)
		}
	}
}

// TestValidatorIsCalledOff: the client hangs up, and the hook notices.
func TestValidatorIsCalledOff(t *testing.T) {
	called, ended := make(chan struct{}), make(chan error, 1)
	p := plugintest.Start(t, validatorPlugin(func(ctx context.Context, _ *pluginapi.Connect) (*pluginapi.Decision, error) {
		close(called)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-called
		cancel()
	}()
	if _, err := p.ValidateConnection(ctx, plugintest.Connect("c")); status.Code(err) != codes.Canceled {
		t.Errorf("error %v, want Canceled", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the hook's context ended with %v", err)
	}
}

// scram is a validator with enhanced authentication: it asks for "more" until it
// gets "enough".
type scram struct{ pluginapi.ValidatorFunc }

func (scram) Authenticate(_ context.Context, c *pluginapi.Connect, x pluginapi.Exchange) (*pluginapi.Decision, error) {
	data := c.AuthData
	for string(data) != "enough" {
		step, err := x.Challenge(pluginapi.AuthStep{Data: append([]byte("more than "), data...), Reason: "r"})
		if err != nil {
			return nil, err
		}
		data = step.Data
	}
	d := pluginapi.Allowed()
	d.AuthData = []byte("bye")
	if x.Again() {
		d.Reason = "again"
	}
	return d, nil
}

func TestEnhancedAuthentication(t *testing.T) {
	p := plugintest.Start(t, pluginapi.Plugin{Name: "scram", Hooks: scram{}})
	api := pluginv1.NewConnectionValidatorServiceClient(p.Conn())
	for _, again := range []bool{false, true} {
		stream, err := api.Authenticate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first := &pluginv1.AuthenticateRequest{Connect: &pluginv1.Connect{AuthenticationMethod: "S"}, AuthenticationData: []byte("a"), Reauthenticate: again}
		if err := stream.Send(first); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil || string(resp.GetAuthenticationData()) != "more than a" || resp.GetReason() != "r" || resp.GetDecision() != nil {
			t.Fatalf("challenge %v, %v", resp, err)
		}
		if err := stream.Send(&pluginv1.AuthenticateRequest{AuthenticationData: []byte("enough")}); err != nil {
			t.Fatal(err)
		}
		resp, err = stream.Recv()
		if err != nil || resp.GetDecision().GetVerdict() != pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW ||
			string(resp.GetDecision().GetAuthenticationData()) != "bye" || (resp.GetDecision().GetReason() == "again") != again {
			t.Fatalf("decision %v, %v", resp, err)
		}
		if resp, err := stream.Recv(); err == nil {
			t.Errorf("another answer %v after the decision", resp)
		}
	}
}

func TestEnhancedAuthenticationEnds(t *testing.T) {
	p := plugintest.Start(t, pluginapi.Plugin{Name: "scram", Hooks: scram{}})
	stream, err := pluginv1.NewConnectionValidatorServiceClient(p.Conn()).Authenticate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pluginv1.AuthenticateRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("error %v, want Canceled", err)
	}
	// A validator without the companion says so.
	p = plugintest.Start(t, validatorPlugin(abstain))
	stream, err = pluginv1.NewConnectionValidatorServiceClient(p.Conn()).Authenticate(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("error %v, want Unimplemented", err)
	}
}

func TestDurabilityTexts(t *testing.T) {
	for d := range pluginapi.DurabilityNone + 2 {
		text, err := d.MarshalText()
		if d > pluginapi.DurabilityNone {
			if err == nil || d.String() != "unknown" {
				t.Errorf("%d is %q", d, text)
			}
			continue
		}
		back := pluginapi.Durability(9)
		if err := back.UnmarshalText(text); err != nil || back != d || string(text) != d.String() {
			t.Errorf("%d: %q, %d, %v", d, text, back, err)
		}
	}
	d := pluginapi.DurabilitySync
	if err := d.UnmarshalText([]byte("always")); err == nil || d != pluginapi.DurabilitySync {
		t.Errorf("always: %v, %v", d, err)
	}
}
