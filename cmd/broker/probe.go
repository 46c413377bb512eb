package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"github.com/goccy/go-yaml"

	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

// probeFlags say which plugin is run without a broker, and how.
type probeFlags struct {
	Path         string            `arg:"" optional:"" help:"The plugin's folder or program." placeholder:"PATH"`
	PluginConfig string            `name:"config" help:"The plugin's own configuration, YAML or JSON." placeholder:"FILE"`
	Env          map[string]string `help:"Variables for the plugin's environment." placeholder:"NAME=VALUE"`
}

// open checks the plugin's files.
func (f *probeFlags) open(ctx context.Context) (*pluginhost.Probe, error) {
	return pluginhost.OpenProbe(ctx, pluginhost.ProbeOptions{Path: f.Path, Env: f.Env, Version: brokerVersion()})
}

// readConfig reads the configuration as the JSON object that the plugin gets.
func (f *probeFlags) readConfig() ([]byte, error) {
	if f.PluginConfig == "" {
		return []byte("{}"), nil
	}
	text, err := os.ReadFile(f.PluginConfig)
	if err != nil {
		return nil, err
	}
	object := make(map[string]any)
	if err := yaml.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("%s is no configuration of a plugin: %w", f.PluginConfig, err)
	}
	out, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("%s is no configuration of a plugin: %w", f.PluginConfig, err)
	}
	return out, nil
}

// misuse says what is wrong with a command line.
func misuse(t *terminal, what string) error {
	fmt.Fprintf(t.err, "broker: %s\nTry \"broker --help\".\n", what)
	return exitError(2)
}

// terminator is SIGTERM to a process, nil where there is no such thing.
func terminator(p *pluginhost.ProbedProcess) func() {
	if runtime.GOOS == "windows" {
		return nil
	}
	return p.Terminate
}
