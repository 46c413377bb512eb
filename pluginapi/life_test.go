package pluginapi_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// flexible has all companions of a plugin's life.
type flexible struct {
	word     string
	health   error
	stopped  chan struct{}
	interest []pluginapi.Interest
}

type flexibleConfig struct {
	Word string `json:"word"`
}

func (f *flexible) ValidateConnection(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
	return pluginapi.Denied(0, f.word), nil
}

func (f *flexible) Reconfigure(_ context.Context, s *pluginapi.Setup) error {
	var c flexibleConfig
	if err := s.Config(&c); err != nil {
		return err
	}
	if c.Word == "bad" {
		return pluginapi.ConfigError{Path: "/word", Message: "must not be bad"}
	}
	s.Warn("/word", "is new")
	f.word = c.Word
	f.interest = []pluginapi.Interest{{Hook: pluginapi.HookConnect}}
	return nil
}

func (f *flexible) Health(context.Context) error { return f.health }

func (f *flexible) Metrics(context.Context) ([]byte, error) { return []byte("up 1\n"), nil }

func (f *flexible) Interest() []pluginapi.Interest { return f.interest }

func (f *flexible) Stop(context.Context) error { close(f.stopped); return nil }

func startFlexible(t *testing.T) (*plugintest.Plugin, *flexible) {
	t.Helper()
	f := &flexible{word: "first", stopped: make(chan struct{})}
	return plugintest.Start(t, pluginapi.Plugin{
		Name: "flexible", Config: &flexibleConfig{}, Hooks: f,
		Check: func(_ context.Context, s *pluginapi.Setup) error {
			var c flexibleConfig
			if err := s.Config(&c); err != nil {
				return err
			}
			if c.Word == "checked" {
				return errors.New("the word was checked")
			}
			return nil
		},
	}), f
}

func TestReconfigure(t *testing.T) {
	p, _ := startFlexible(t)
	word := func() string {
		d, err := p.ValidateConnection(t.Context(), plugintest.Connect("c"))
		if err != nil {
			t.Fatal(err)
		}
		return d.Reason
	}
	for _, c := range []struct {
		config string
		errs   []string
		word   string
	}{
		{`{"word": "bad"}`, []string{"/word: must not be bad"}, "first"},
		{`{"wort": "x"}`, []string{`/wort: unknown key "wort": did you mean "word"? known keys: word`}, "first"},
		{`{"word": "checked"}`, []string{"the word was checked"}, "first"},
		{`{"word": "second"}`, nil, "second"},
	} {
		if diff := cmp.Diff(c.errs, remarks(p.Reconfigure(t.Context(), c.config))); diff != "" {
			t.Error(diff)
		}
		if got := word(); got != c.word {
			t.Errorf("after %s the plugin says %q, want %q", c.config, got, c.word)
		}
	}
	if diff := cmp.Diff([]pluginapi.ConfigError{{Path: "/word", Message: "is new"}}, p.Warnings()); diff != "" {
		t.Error(diff)
	}
	resp, err := pluginv1.NewPluginServiceClient(p.Conn()).Reconfigure(t.Context(), &pluginv1.ReconfigureRequest{})
	if err != nil || len(resp.GetInterest()) != 1 {
		t.Errorf("the new interest is not told: %v, %v", resp, err)
	}
	p = plugintest.Start(t, gatePlugin())
	if err := p.Reconfigure(t.Context(), `{}`); status.Code(err) != codes.Unimplemented {
		t.Errorf("a plugin without Reconfigurer: %v, want Unimplemented", err)
	}
}

func TestValidateConfig(t *testing.T) {
	p, f := startFlexible(t)
	for config, want := range map[string][]string{
		`{"word": 1}`: {"/word: must be a string, not a number"}, `{"word": "checked"}`: {"the word was checked"}, `{"word": "x"}`: nil,
	} {
		if diff := cmp.Diff(want, remarks(p.ValidateConfig(t.Context(), config))); diff != "" {
			t.Errorf("%s: %s", config, diff)
		}
	}
	if f.word != "first" {
		t.Error("a configuration was used that was only to be checked")
	}
}

func TestHealth(t *testing.T) {
	p, f := startFlexible(t)
	if err := p.Health(t.Context()); err != nil {
		t.Errorf("health %v", err)
	}
	f.health = fmt.Errorf("file: %w", pluginapi.Degraded("old rules"))
	if err := p.Health(t.Context()); !pluginapi.IsDegraded(err) || err.Error() != "file: old rules" {
		t.Errorf("health %v, want degraded", err)
	}
	f.health = errors.New("gone \xff")
	if err := p.Health(t.Context()); err == nil || pluginapi.IsDegraded(err) {
		t.Errorf("health %v, want not healthy", err)
	}
	if m, err := p.Metrics(t.Context()); err != nil || string(m) != "up 1\n" {
		t.Errorf("metrics %q, %v", m, err)
	}
}

func TestStop(t *testing.T) {
	p, f := startFlexible(t)
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-f.stopped
	if _, err := p.ValidateConnection(t.Context(), plugintest.Connect("c")); status.Code(err) != codes.Unavailable {
		t.Errorf("a hook after Stop: %v, want Unavailable", err)
	}
}
