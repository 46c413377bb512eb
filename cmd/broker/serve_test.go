package main

import (
	"context"
	"log/slog"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

// A broker that the network can reach lets nobody in once its last validator has
// gone, whatever made it go.
func TestLastValidatorGoes(t *testing.T) {
	allow := pluginhost.Bindings{Validators: []hook.ValidatorEntry{{Name: "v", Validator: hook.ValidatorFunc(
		func(context.Context, *hook.Connect) (*hook.Decision, error) {
			return &hook.Decision{Verdict: hook.Allow}, nil
		})}}}
	for _, c := range []struct {
		name, url string
		anonymous bool
		without   mqtt.ReasonCode
	}{
		{"network", "tcp://0.0.0.0:1883", false, mqtt.NotAuthorized},
		{"open on purpose", "tcp://0.0.0.0:1883", true, mqtt.Success},
		{"loopback", "tcp://127.0.0.1:1883", false, mqtt.Success},
	} {
		s := &server{
			cfg: &config{AllowAnonymous: c.anonymous, Listeners: []listenerConfig{{URL: c.url}}},
			log: slog.New(slog.DiscardHandler), hooks: hook.NewHooks(nil),
		}
		s.access.Store(s.cfg.access())
		for _, step := range []struct {
			bindings pluginhost.Bindings
			want     mqtt.ReasonCode
		}{{allow, mqtt.Success}, {pluginhost.Bindings{}, c.without}, {allow, mqtt.Success}} {
			s.bind(step.bindings)
			if got := s.hooks.Validate(t.Context(), &hook.Connect{ClientID: "c"}).Code; got != step.want {
				t.Errorf("%s: with %d validators a client is answered %v", c.name, len(step.bindings.Validators), got)
			}
		}
		s.hooks.Close()
	}
}
