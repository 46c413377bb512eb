package bucket

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Plugin is retainnats, ready to be served.
func Plugin() pluginapi.Plugin {
	config := DefaultConfig()
	return pluginapi.Plugin{
		Name:      "retainnats",
		Version:   "0.1.0",
		Summary:   "keeps retained messages in a key-value bucket of NATS JetStream",
		Config:    &config,
		Hooks:     (*keeper)(nil),
		New:       newKeeper,
		Check:     checkConfig,
		Exclusive: true,
	}
}

// keeper is the plugin.
type keeper struct{ *Store }

func newKeeper(ctx context.Context, s *pluginapi.Setup) (any, error) {
	c, err := readConfig(s)
	if err != nil {
		return nil, err
	}
	store, err := Open(ctx, Options{Config: c, Instance: s.Instance, Logger: s.Logger})
	if err != nil {
		return nil, err
	}
	return &keeper{store}, nil
}

func checkConfig(_ context.Context, s *pluginapi.Setup) error {
	_, err := readConfig(s)
	return err
}

// Health says what limits the store. A server that is away is a limitation, not
// a failure: another start would not bring it back.
func (k *keeper) Health(context.Context) error {
	if err := k.Problems(); err != nil {
		return pluginapi.Degraded(err.Error())
	}
	return nil
}

// Metrics returns the store's numbers.
func (k *keeper) Metrics(context.Context) ([]byte, error) { return k.Numbers().prometheus(), nil }

// Stop closes the store.
func (k *keeper) Stop(context.Context) error { return k.Close() }
