package validator

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

const judgeFile = `
users:
  - name: alice
    password: %alice%
    client_id_prefix: alice-
    mountpoint: tenants/a/
    allow: {both: "a/#"}
    limits: {max_qos: 1}
  - name: bob
    password: %bob%
    disabled: true
    allow: {both: "b/#"}
  - name: carol
    password: %carol%
    deny: {publish: "x/%c"}
`

// checks records what passwords were checked against.
type checks struct {
	costs []string
	err   error
}

func (c *checks) check(_ context.Context, d password.Digest, secret []byte) (bool, error) {
	c.costs = append(c.costs, d.String())
	return d.Verify(secret), c.err
}

func newTestJudge(tb testing.TB, extra string, abstain bool) (*judge, *checks) {
	tb.Helper()
	file := replaceAll(judgeFile, map[string]string{
		"%alice%": hashOf(tb, "alice-pw"), "%bob%": hashOf(tb, "bob-pw"), "%carol%": hashOf(tb, "carol-pw"),
	})
	c := &checks{}
	return &judge{set: parse(tb, file+extra), abstain: abstain, check: c.check}, c
}

func login(user, secret, clientID string) *pluginapi.Connect {
	return &pluginapi.Connect{
		ClientID: clientID, PeerAddress: "192.0.2.1:4711",
		Username: user, HasUsername: true, Password: []byte(secret), HasPassword: true,
	}
}

func TestDecide(t *testing.T) {
	const guests = "anonymous: {client_id_prefix: guest-, allow: {subscribe: public}}\n"
	nameless := func(id string) *pluginapi.Connect { return &pluginapi.Connect{ClientID: id} }
	method := login("alice", "alice-pw", "alice-1")
	method.AuthMethod = "SCRAM-SHA-256"
	noPassword := func(user string) *pluginapi.Connect {
		return &pluginapi.Connect{ClientID: "alice-1", Username: user, HasUsername: true}
	}
	passwordAlone := &pluginapi.Connect{Password: []byte("token"), HasPassword: true}

	const (
		badLogin = pluginapi.BadUserNameOrPassword
		noRight  = pluginapi.NotAuthorized
		badID    = pluginapi.ClientIdentifierNotValid
		banned   = pluginapi.Banned
		noMethod = pluginapi.BadAuthenticationMethod
	)
	for _, tc := range []struct {
		name    string
		extra   string
		abstain bool
		connect *pluginapi.Connect
		outcome outcome
		code    pluginapi.ReasonCode // of a refusal
		told    string
		checks  int
	}{
		{"right password", "", false, login("alice", "alice-pw", "alice-1"), allowed, 0, "", 1},
		{"wrong password", "", false, login("alice", "bob-pw", "alice-1"), badPassword, badLogin, "", 1},
		{"empty password", "", false, login("alice", "", "alice-1"), badPassword, badLogin, "", 1},
		{"no password", "", false, noPassword("alice"), badPassword, badLogin, "", 0},
		{"unknown user", "", false, login("mallory", "alice-pw", "alice-1"), unknownUser, badLogin, "", 1},
		{"unknown user, no password", "", false, noPassword("mallory"), unknownUser, badLogin, "", 0},
		{"empty user name", guests, false, login("", "", "guest-1"), unknownUser, badLogin, "", 1},
		{"names are case-sensitive", "", false, login("Alice", "alice-pw", "alice-1"), unknownUser, badLogin, "", 1},
		{"wrong client id", "", false, login("alice", "alice-pw", "bob-1"), badClientID, badID, "client id is not allowed for this user", 1},
		{"wrong client id and password", "", false, login("alice", "x", "bob-1"), badPassword, badLogin, "", 1},
		{"no client id where there is a rule", "", false, login("alice", "alice-pw", ""), badClientID, badID, "client id is not allowed for this user", 1},
		{"client id with a slash", "", false, login("carol", "carol-pw", "a/b"), badClientID, badID, "client id is not allowed for this user", 1},
		{"client id without a rule", "", false, login("carol", "carol-pw", ""), allowed, 0, "", 1},
		{"disabled", "", false, login("bob", "bob-pw", "b"), disabledUser, banned, "user is disabled", 1},
		{"disabled, wrong password", "", false, login("bob", "x", "b"), badPassword, badLogin, "", 1},
		{"anonymous, no rule", "", false, nameless("x"), anonymousRefused, noRight, "user name and password are needed", 0},
		{"anonymous", guests, false, nameless("guest-1"), allowed, 0, "", 0},
		{"anonymous, wrong client id", guests, false, nameless("x"), badClientID, badID, "client id is not allowed for this user", 0},
		{"anonymous, disabled", "anonymous: {disabled: true}\n", false, nameless("x"), anonymousRefused, noRight, "user name and password are needed", 0},
		{"password alone", guests, false, passwordAlone, badPassword, badLogin, "", 0},
		{"authentication method", "", false, method, badMethod, noMethod, "authentication method is not supported", 0},

		{"abstain: unknown user", "", true, login("mallory", "x", "x"), abstained, 0, "", 1},
		{"abstain: unknown user, no password", "", true, noPassword("mallory"), abstained, 0, "", 0},
		{"abstain: wrong password", "", true, login("alice", "x", "alice-1"), badPassword, badLogin, "", 1},
		{"abstain: no password", "", true, noPassword("alice"), badPassword, badLogin, "", 0},
		{"abstain: disabled", "", true, login("bob", "bob-pw", "x"), disabledUser, banned, "user is disabled", 1},
		{"abstain: right password", "", true, login("alice", "alice-pw", "alice-1"), allowed, 0, "", 1},
		{"abstain: anonymous, no rule", "", true, nameless("x"), abstained, 0, "", 0},
		{"abstain: anonymous, disabled", "anonymous: {disabled: true}\n", true, nameless("x"), anonymousRefused, noRight, "user name and password are needed", 0},
		{"abstain: password alone", "", true, passwordAlone, abstained, 0, "", 0},
		{"abstain: authentication method", "", true, method, abstained, 0, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j, checks := newTestJudge(t, tc.extra, tc.abstain)
			ru, err := j.decide(t.Context(), tc.connect)
			if err != nil {
				t.Fatal(err)
			}
			if ru.outcome != tc.outcome {
				t.Errorf("outcome is %s, want %s", outcomeNames[ru.outcome], outcomeNames[tc.outcome])
			}
			d := ru.decision
			word, ok := map[outcome]pluginapi.Word{allowed: pluginapi.Allow, abstained: pluginapi.Abstain}[tc.outcome]
			if !ok {
				word = pluginapi.Deny
			}
			if d.Word != word || d.Code != tc.code || d.Reason != tc.told {
				t.Errorf("decision is %d, %v, %q; want %d, %v, %q", d.Word, d.Code, d.Reason, word, tc.code, tc.told)
			}
			if (word == pluginapi.Deny) != (ru.why != "") {
				t.Errorf("reason for the log is %q", ru.why)
			}
			if len(checks.costs) != tc.checks {
				t.Errorf("%d passwords were checked, want %d", len(checks.costs), tc.checks)
			}
		})
	}
}

func TestDecisionHoldsRules(t *testing.T) {
	j, _ := newTestJudge(t, "", false)
	ru, err := j.decide(t.Context(), login("alice", "alice-pw", "alice-1"))
	if err != nil {
		t.Fatal(err)
	}
	want := &pluginapi.Decision{
		Word:       pluginapi.Allow,
		Mountpoint: "tenants/a/",
		Limits:     pluginapi.Limits{MaximumQoS: new(pluginapi.QoS(1))},
		Grants:     []pluginapi.Grant{{Actions: pluginapi.AllActions, Filter: "a/#"}},
	}
	if diff := cmp.Diff(want, ru.decision); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	ru, err = j.decide(t.Context(), login("carol", "carol-pw", "c"))
	if err != nil {
		t.Fatal(err)
	}
	if ru.decision.Grants == nil {
		t.Error("the grants of carol are nil, which would allow everything")
	}
}

// TestUnknownUserCostsTheSame checks that exactly the same work is done for a
// wrong password, for an unknown user and for one who is turned away later.
func TestUnknownUserCostsTheSame(t *testing.T) {
	j, checks := newTestJudge(t, "", false)
	for _, c := range []*pluginapi.Connect{
		login("alice", "wrong", "alice-1"), login("mallory", "wrong", "alice-1"),
		login("bob", "wrong", "x"), login("bob", "bob-pw", "x"), login("alice", "alice-pw", "x"),
	} {
		if _, err := j.decide(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, cost := range checks.costs {
		if cost != "argon2id m=32 t=1 p=1" || len(checks.costs) != 5 {
			t.Fatalf("checked: %q", checks.costs)
		}
	}
}

func TestUndecided(t *testing.T) {
	j, checks := newTestJudge(t, "", false)
	checks.err = context.DeadlineExceeded
	for _, user := range []string{"alice", "mallory"} {
		ru, err := j.decide(t.Context(), login(user, user+"-pw", "alice-1"))
		if !errors.Is(err, context.DeadlineExceeded) || ru.decision != nil {
			t.Errorf("%s: %v, %v", user, ru.decision, err)
		}
	}
}
