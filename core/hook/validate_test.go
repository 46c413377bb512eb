package hook_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

func says(d hook.Decision) hook.Validator {
	return hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) { return &d, nil })
}

func fails(err error) hook.Validator {
	return hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) { return nil, err })
}

func TestValidatorsTogether(t *testing.T) {
	var (
		abstain = says(hook.Decision{})
		allow   = says(hook.Decision{Verdict: hook.Allow})
		deny    = says(hook.Decision{Verdict: hook.Deny, Code: mqtt.Banned})
		vague   = says(hook.Decision{Verdict: hook.Deny})
		down    = fails(hook.ErrUnavailable)
		mute    = hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) { return nil, nil })
		mount   = func(s string) hook.Validator { return says(hook.Decision{Verdict: hook.Allow, Mountpoint: s}) }
		refuse  = hook.Policy{}
		pass    = hook.Policy{OnError: hook.OnErrorPass}
		cut     = hook.Policy{OnError: hook.OnErrorDisconnect}
	)
	type entry struct {
		v hook.Validator
		p hook.Policy
	}
	for _, tt := range []struct {
		name    string
		entries []entry
		want    mqtt.ReasonCode
		close   bool
	}{
		{"nobody to ask", nil, mqtt.Success, false},
		{"allowed", []entry{{allow, refuse}}, mqtt.Success, false},
		{"all abstain", []entry{{abstain, refuse}, {abstain, refuse}}, mqtt.NotAuthorized, false},
		{"one allows", []entry{{abstain, refuse}, {allow, refuse}}, mqtt.Success, false},
		{"a denial after an allowance", []entry{{allow, refuse}, {deny, refuse}}, mqtt.Banned, false},
		{"a denial before an allowance", []entry{{deny, refuse}, {allow, refuse}}, mqtt.Banned, false},
		{"a denial without a code", []entry{{vague, refuse}}, mqtt.NotAuthorized, false},
		{"down", []entry{{allow, refuse}, {down, refuse}}, mqtt.ServerUnavailable, false},
		{"down, passed over", []entry{{down, pass}, {allow, refuse}}, mqtt.Success, false},
		{"down, passed over, alone", []entry{{down, pass}}, mqtt.Success, false},
		{"down, passed over, the other abstains", []entry{{down, pass}, {abstain, refuse}}, mqtt.NotAuthorized, false},
		{"down, connection cut", []entry{{down, cut}}, mqtt.ServerUnavailable, true},
		{"no answer is no yes", []entry{{mute, refuse}}, mqtt.ServerUnavailable, false},
		{"a mountpoint", []entry{{mount("tenants/a/"), refuse}}, mqtt.Success, false},
		{"a mountpoint that ends in a level", []entry{{mount("tenants/a"), refuse}}, mqtt.ServerUnavailable, false},
		{"a mountpoint with a wildcard", []entry{{mount("tenants/+/"), refuse}}, mqtt.ServerUnavailable, false},
		{"a mountpoint of the server's", []entry{{mount("$SYS/"), refuse}}, mqtt.ServerUnavailable, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := hook.NewHooks(nil)
			var list []hook.ValidatorEntry
			for i, e := range tt.entries {
				list = append(list, hook.ValidatorEntry{Name: fmt.Sprint(i), Validator: e.v, Policy: e.p})
			}
			h.SetValidators(list)
			got := h.Validate(t.Context(), &hook.Connect{})
			if got.Code != tt.want || got.Close != tt.close {
				t.Errorf("got %v (close %v), want %v (close %v)", got.Code, got.Close, tt.want, tt.close)
			}
		})
	}
}

func TestValidatorsMerge(t *testing.T) {
	alice, bob := "alice", "bob"
	low, high := uint16(10), uint16(20)
	h := hook.NewHooks(nil)
	h.SetValidators([]hook.ValidatorEntry{
		{Validator: says(hook.Decision{
			Verdict: hook.Allow, Username: &alice, Mountpoint: "a/", ValidFor: time.Hour,
			Limits: hook.Limits{KeepAlive: &high}, Items: map[string][]byte{"k": []byte("1"), "x": []byte("y")},
			Grants: &hook.Grants{List: []hook.Grant{{Filter: "#"}}},
		})},
		{Validator: says(hook.Decision{
			Verdict: hook.Allow, Username: &bob, ValidFor: time.Minute,
			Limits: hook.Limits{KeepAlive: &low}, Items: map[string][]byte{"k": []byte("2")},
			Grants: &hook.Grants{List: []hook.Grant{{Filter: "b/#"}}},
		})},
	})
	got := h.Validate(t.Context(), &hook.Connect{Username: "carol"})
	if got.Username != "bob" || got.Mountpoint != "a/" || got.ValidFor != time.Minute || *got.Limits.KeepAlive != low {
		t.Errorf("got %+v", got)
	}
	if string(got.Items["k"]) != "2" || string(got.Items["x"]) != "y" {
		t.Errorf("items %v", got.Items)
	}
	r := hook.NewRights(got.Grants, "c", "bob")
	if r.MayPublish("c", 0, false) || !r.MayPublish("b/c", 0, false) {
		t.Error("a client may do what all validators permit, and no more")
	}
}

// Of what several validators say about durability the strictest counts.
func TestDurabilityMerges(t *testing.T) {
	for _, tt := range []struct {
		said []hook.Durability
		want string
	}{
		{[]hook.Durability{hook.DurabilityUnstated, hook.DurabilityUnstated}, ""},
		{[]hook.Durability{hook.DurabilityUnstated, hook.DurabilityNone}, "none"},
		{[]hook.Durability{hook.DurabilityInterval, hook.DurabilityUnstated}, "interval"},
		{[]hook.Durability{hook.DurabilityNone, hook.DurabilitySync, hook.DurabilityInterval}, "sync"},
	} {
		h := hook.NewHooks(nil)
		var entries []hook.ValidatorEntry
		for _, d := range tt.said {
			entries = append(entries, hook.ValidatorEntry{Validator: says(hook.Decision{Verdict: hook.Allow, Durability: d})})
		}
		h.SetValidators(entries)
		if got := h.Validate(t.Context(), new(hook.Connect)).Durability.String(); got != tt.want {
			t.Errorf("%v: %q", tt.said, got)
		}
		h.Close()
	}
}

// slow answers when its context ends, as a facade of a hanging plugin does.
func TestValidatorTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hook.NewHooks(nil)
		counters := new(hook.Counters)
		h.SetValidators([]hook.ValidatorEntry{{
			Name: "slow", Counters: counters,
			Validator: hook.ValidatorFunc(func(ctx context.Context, _ *hook.Connect) (*hook.Decision, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}),
		}})
		start := time.Now()
		got := h.Validate(t.Context(), &hook.Connect{})
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("waited %v", waited)
		}
		if got.Code != mqtt.ServerUnavailable || !errors.Is(got.Err, hook.ErrTimeout) || got.By != "slow" {
			t.Errorf("got %+v", got)
		}
		if c := counters.Read(); len(c) != 1 || c[0].Timeouts != 1 || c[0].Failed != 1 || c[0].Refused != 1 {
			t.Errorf("counters %+v", c)
		}
	})
}

// A validator takes so many calls at once; the others wait within the timeout,
// here long enough for four of five.
func TestValidatorConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hook.NewHooks(nil)
		running, most := 0, 0
		h.SetValidators([]hook.ValidatorEntry{{
			Policy: hook.Policy{MaxConcurrent: 1, Timeout: 3500 * time.Millisecond},
			Validator: hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) {
				running++
				most = max(most, running)
				time.Sleep(time.Second)
				running--
				return &hook.Decision{Verdict: hook.Allow}, nil
			}),
		}})
		results := make(chan mqtt.ReasonCode)
		for range 5 {
			go func() { results <- h.Validate(t.Context(), &hook.Connect{}).Code }()
		}
		admitted := 0
		for range 5 {
			if <-results == mqtt.Success {
				admitted++
			}
		}
		if most != 1 || admitted != 4 {
			t.Errorf("%d ran at once, %d admitted", most, admitted)
		}
	})
}
