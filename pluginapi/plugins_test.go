package pluginapi_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
)

// TestMain makes the test binary the plugins that the tests launch.
func TestMain(m *testing.M) {
	plugintest.Dispatch(map[string]pluginapi.Plugin{
		"gate": gatePlugin(),
		"bad":  {Name: "bad"},
	})
	goleak.VerifyTestMain(m)
}

// gateConfig is what gate can be told.
type gateConfig struct {
	Allow   []string      `json:"allow" doc:"client identifiers that may connect"`
	Mode    string        `json:"mode" doc:"what to do when stopped" enum:"flush,hang,fail"`
	Timeout time.Duration `json:"timeout"`
}

// gate is a validator that misbehaves when asked to: the client identifier says
// how.
type gate struct {
	config gateConfig
	setup  *pluginapi.Setup
}

func gatePlugin() pluginapi.Plugin {
	return pluginapi.Plugin{
		Name:    "gate",
		Version: "1.2.3",
		Summary: "lets some clients in",
		Config:  &gateConfig{Mode: "flush", Timeout: 10 * time.Second},
		Hooks:   (*gate)(nil),
		New:     newGate,
		Env:     []string{"GATE_*"},
	}
}

func newGate(_ context.Context, s *pluginapi.Setup) (any, error) {
	g := &gate{setup: s}
	if err := s.Config(&g.config); err != nil {
		return nil, err
	}
	if strings.Contains(strings.Join(g.config.Allow, ""), "*") {
		return nil, pluginapi.ConfigError{Path: "/allow", Message: "patterns are not supported"}
	}
	return g, nil
}

func (g *gate) ValidateConnection(ctx context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
	switch c.ClientID {
	case "panic":
		panic("the gate fell down")
	case "print":
		fmt.Println("printed to stdout")
		fmt.Fprintln(os.Stderr, "printed to stderr")
		log.Print("logged by package log")
		slog.Info("logged by slog", "answer", 42)
		g.setup.Logger.Debug("logged by the plugin's logger", slog.Group("client", "id", c.ClientID))
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	case "env":
		return &pluginapi.Decision{Word: pluginapi.Deny, Reason: strings.Join(os.Environ(), "\n")}, nil
	case "fail":
		return nil, errors.New("the gate is stuck")
	}
	if slices.Contains(g.config.Allow, c.ClientID) {
		return pluginapi.Allowed(), nil
	}
	return pluginapi.Denied(pluginapi.NotAuthorized, "not on the list"), nil
}

func (g *gate) Stop(context.Context) error {
	switch g.config.Mode {
	case "hang":
		select {}
	case "fail":
		return errors.New("the disk is full")
	}
	return os.WriteFile(filepath.Join(g.setup.DataDir, "flushed"), nil, 0o600)
}
