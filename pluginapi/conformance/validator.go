package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

const (
	allow = pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW
	deny  = pluginv1.DecisionVerdict_DECISION_VERDICT_DENY
)

// validatorCases are about connections. The passwords that they send have a
// canary in them, which validator/log looks for in the end.
var validatorCases = []testCase{
	{
		"validator/decisions", "each CONNECT is answered with a decision that the broker accepts",
		"a refusal is a decision with a verdict and a reason code, and no gRPC status; grants need effect and a valid filter", testDecisions,
	},
	{
		"validator/empty-password", "a user who is denied with a wrong password is denied with an empty one and with none",
		"compare the password even if it is empty; ask a directory (LDAP) never with an empty password, which binds anonymously", testEmptyPassword,
	},
	{
		"validator/known-user", "the client that --username and --password name is allowed, and not with any other password",
		"compare the whole password, byte by byte; mind zero bytes, upper and lower case, and length", testKnownUser,
	},
	{
		"validator/concurrency", "clients that come at once are decided as those that come one after the other",
		"calls come from many goroutines or threads at once: share nothing between them without a lock", testConcurrentConnects,
	},
	{
		"validator/cancelled", "after clients hung up in the middle of their decision others are decided",
		"give back locks and connections of a call that was cancelled", testCancelledConnects,
	},
	{
		"validator/hostile", "a CONNECT is decided whatever its texts and binary fields hold",
		"a client can send this: decide it, deny it. What fails again and again opens the circuit breaker for everybody", testHostileConnects,
	},
	{
		"validator/nonsense", "a request that no broker sends does not end the plugin",
		"answer with a decision or a status", testNonsenseConnects,
	},
	{
		"validator/authenticate", "an exchange of enhanced authentication with an unknown method is decided, one that breaks off does no harm",
		"answer a method that you do not know with a denial, 0x8C", testAuthenticate,
	},
}

// decide asks about one CONNECT.
func (c *check) decide(in *pluginv1.Connect) (*pluginv1.Decision, error) {
	ctx, cancel := c.call()
	defer cancel()
	out, err := pluginv1.NewConnectionValidatorServiceClient(c.process.Conn).Validate(ctx, &pluginv1.ValidateRequest{Connect: in})
	if err != nil {
		return nil, fmt.Errorf("could not decide %s", rpcError(err))
	}
	if err := legalDecision(out.GetDecision()); err != nil {
		return nil, fmt.Errorf("answers %w", err)
	}
	return out.GetDecision(), nil
}

// verdict is decide for cases that judge the verdict alone.
func (c *check) verdict(in *pluginv1.Connect) pluginv1.DecisionVerdict {
	d, err := c.decide(in)
	if err != nil {
		c.skipf("the plugin does not decide it: %v", err)
	}
	return d.GetVerdict()
}

func testDecisions(c *check) {
	for _, odd := range c.oddConnects() {
		if _, err := c.decide(odd.connect); err != nil {
			c.failf("%v, for %s", err, odd.what)
		}
		if c.enough() {
			return
		}
	}
}

func testEmptyPassword(c *check) {
	names := []string{"nobody", "admin", "root"}
	if c.Username != "" {
		names = append(names, c.Username)
	}
	for _, name := range names {
		with := func(password []byte) *pluginv1.Connect {
			in := c.connect("empty")
			in.Username, in.Password = proto.String(name), password
			return in
		}
		if c.verdict(with([]byte(c.canary))) != deny {
			continue // whoever does not look at passwords has no wrong ones
		}
		if c.verdict(with([]byte{})) == allow {
			c.failf("lets the user %q in with an empty password, and not with a wrong one", name)
		}
		if c.verdict(with(nil)) == allow {
			c.failf("lets the user %q in without a password, and not with a wrong one", name)
		}
	}
}

func testKnownUser(c *check) {
	if c.Username == "" {
		c.skipf("nobody said whom the plugin lets in (--username, --password)")
	}
	with := func(password string) *pluginv1.Connect {
		in := c.connect(c.ClientID)
		in.Username, in.Password = proto.String(c.Username), []byte(password)
		return in
	}
	if got := c.verdict(with(c.Password)); got != allow {
		c.advice = "give the check a client that may connect: --client-id, --username, --password, --config"
		c.fatalf("answers %s for the client %q, user %q, with the right password", got, c.ClientID, c.Username)
	}
	p := c.Password
	for _, wrong := range []struct{ what, password string }{
		{"an empty password", ""},
		{"the password and a letter more", p + "x"},
		{"the password and a zero byte", p + "\x00"},
		{"the password and a line's end", p + "\n"},
		{"the password without its last byte", p[:max(0, len(p)-1)]},
		{"the password twice", p + p},
		{"a wildcard", "*"},
		{"another password", c.canary},
	} {
		if wrong.password != p && c.verdict(with(wrong.password)) == allow {
			c.failf("lets the user %q in with %s", c.Username, wrong.what)
		}
	}
}

func testConcurrentConnects(c *check) {
	const clients = 24
	want := make([]pluginv1.DecisionVerdict, clients)
	names := make([]string, clients)
	connects := make([]*pluginv1.Connect, clients)
	for i := range clients {
		in := c.connect(fmt.Sprintf("crowd-%d", i))
		switch {
		case i%4 == 1 && c.Username != "":
			in.ClientId, in.Username, in.Password = c.ClientID, proto.String(c.Username), []byte(c.Password)
		case i%4 == 2:
			in.Username, in.Password = nil, nil
		case i%4 == 3:
			in.Password = []byte{}
		}
		connects[i] = in
		d, err := c.decide(in)
		if err != nil {
			c.skipf("the plugin does not decide it: %v", err)
		}
		want[i], names[i] = d.GetVerdict(), d.GetUsername()
	}
	wrong := make([]string, clients)
	var asking sync.WaitGroup
	for i, in := range connects {
		asking.Go(func() {
			switch d, err := c.decide(in); {
			case err != nil:
				wrong[i] = err.Error()
			case d.GetVerdict() != want[i] || d.GetUsername() != names[i]:
				wrong[i] = fmt.Sprintf("decides %s for a client that it decided %s for when that came alone", d.GetVerdict(), want[i])
			}
		})
	}
	asking.Wait()
	for _, w := range wrong {
		if w != "" && !c.enough() {
			c.failf("%s", w)
		}
	}
}

func testCancelledConnects(c *check) {
	api := pluginv1.NewConnectionValidatorServiceClient(c.process.Conn)
	var asking sync.WaitGroup
	for i := range 32 {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(c.ctx, time.Duration(i)*300*time.Microsecond)
			defer cancel()
			_, _ = api.Validate(ctx, &pluginv1.ValidateRequest{Connect: c.connect(fmt.Sprintf("gone-%d", i))})
		})
	}
	asking.Wait()
	if _, err := c.decide(c.connect("stays")); err != nil {
		c.failf("%v, after 32 clients had hung up", err)
	}
}

func testHostileConnects(c *check) {
	c.tryAll(hostile(c.fullConnect()), func(m proto.Message) error {
		_, err := c.decide(m.(*pluginv1.Connect))
		return err
	})
}

func testNonsenseConnects(c *check) {
	api := pluginv1.NewConnectionValidatorServiceClient(c.process.Conn)
	for _, v := range append(nonsense(c.fullConnect()), variant{"no CONNECT", nil}) {
		in := new(pluginv1.ValidateRequest)
		if v.m != nil {
			in.Connect = v.m.(*pluginv1.Connect)
		}
		ctx, cancel := c.call()
		_, err := api.Validate(ctx, in)
		cancel()
		if c.survived(v.what, err); c.enough() {
			return
		}
	}
}

func testAuthenticate(c *check) {
	if !c.init.GetCapabilities().GetEnhancedAuthentication() {
		c.skipf("the plugin has no enhanced authentication")
	}
	api := pluginv1.NewConnectionValidatorServiceClient(c.process.Conn)
	in := c.connect("auth")
	in.AuthenticationMethod, in.AuthenticationData = "NO-SUCH-METHOD", []byte(c.canary)
	first := &pluginv1.AuthenticateRequest{Connect: in, AuthenticationData: in.GetAuthenticationData()}

	// A client that hangs up in the middle.
	ctx, cancel := context.WithCancel(c.ctx)
	if stream, err := api.Authenticate(ctx); err == nil {
		_ = stream.Send(first)
	}
	cancel()

	ctx, cancel = c.call()
	defer cancel()
	stream, err := api.Authenticate(ctx)
	if err != nil {
		c.fatalf("answers Authenticate with %s", rpcError(err))
	}
	_ = stream.Send(first)
	for range 10 {
		out, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			c.fatalf("ends the exchange without a decision")
		}
		if err != nil {
			c.fatalf("could not decide: %s", rpcError(err))
		}
		if d := out.GetDecision(); d != nil {
			if err := legalDecision(d); err != nil {
				c.failf("answers %v", err)
			} else if d.GetVerdict() == allow {
				c.failf("lets a client in by the method NO-SUCH-METHOD")
			}
			return
		}
		_ = stream.Send(&pluginv1.AuthenticateRequest{AuthenticationData: []byte(c.canary)})
	}
	c.failf("goes on after ten steps of a client that knows nothing")
}
