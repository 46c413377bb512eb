package logfile

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Config is the configuration of the plugin.
type Config struct {
	File            string        `json:"file" doc:"where the messages are kept; a relative path is one in the plugin's data folder"`
	Fsync           string        `json:"fsync" enum:"always,interval,never" doc:"when a change is forced to the disk: before it is acknowledged, every fsync_interval, or when the operating system likes"`
	FsyncInterval   time.Duration `json:"fsync_interval" doc:"with fsync: interval, how much time a power failure may undo"`
	CompactGarbage  float64       `json:"compact_garbage" doc:"share of the file, 0.05 to 0.95, that may be out of date before it is compacted"`
	CompactMinBytes int64         `json:"compact_min_bytes" doc:"how many bytes must be out of date before the file is compacted"`
}

func defaultConfig() Config {
	return Config{
		File:            "retained.jsonl",
		Fsync:           string(SyncAlways),
		FsyncInterval:   time.Second,
		CompactGarbage:  0.5,
		CompactMinBytes: 4 << 20,
	}
}

// Plugin is retainjson, ready to be served.
func Plugin() pluginapi.Plugin {
	config := defaultConfig()
	return pluginapi.Plugin{
		Name:      "retainjson",
		Version:   "0.1.0",
		Summary:   "keeps retained messages in a file of JSON lines",
		Config:    &config,
		Hooks:     (*keeper)(nil),
		New:       newKeeper,
		Check:     checkConfig,
		Exclusive: true,
	}
}

// keeper is the plugin: a store and the goroutine that runs it.
type keeper struct {
	*Store
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
}

func newKeeper(ctx context.Context, s *pluginapi.Setup) (any, error) {
	c, err := readConfig(s)
	if err != nil {
		return nil, err
	}
	path := c.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.DataDir, path)
	}
	store, err := Open(ctx, Options{
		Path: path, Sync: SyncPolicy(c.Fsync), SyncInterval: c.FsyncInterval,
		Garbage: c.CompactGarbage, GarbageBytes: c.CompactMinBytes, Logger: s.Logger,
	})
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k := &keeper{Store: store, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(k.done)
		store.Run(run)
	}()
	return k, nil
}

func checkConfig(_ context.Context, s *pluginapi.Setup) error {
	_, err := readConfig(s)
	return err
}

func readConfig(s *pluginapi.Setup) (Config, error) {
	c := defaultConfig()
	if err := s.Config(&c); err != nil {
		return c, err
	}
	switch {
	case c.File == "" || filepath.Base(c.File) == "." || filepath.Base(c.File) == "..":
		return c, pluginapi.ConfigError{Path: "/file", Message: fmt.Sprintf("%q does not name a file", c.File)}
	case !filepath.IsAbs(c.File) && !filepath.IsLocal(c.File):
		return c, pluginapi.ConfigError{Path: "/file", Message: fmt.Sprintf("%q leaves the data folder; write an absolute path", c.File)}
	case c.FsyncInterval < time.Millisecond:
		return c, pluginapi.ConfigError{Path: "/fsync_interval", Message: "must be at least 1ms"}
	case c.CompactGarbage < 0.05 || c.CompactGarbage > 0.95:
		return c, pluginapi.ConfigError{Path: "/compact_garbage", Message: "must be between 0.05 and 0.95"}
	case c.CompactMinBytes < 1:
		return c, pluginapi.ConfigError{Path: "/compact_min_bytes", Message: "must be at least 1"}
	}
	return c, nil
}

// Health says what limits the store. A disk that takes no changes is a
// limitation, not a failure: another start would not mend it.
func (k *keeper) Health(context.Context) error {
	if err := k.Problems(); err != nil {
		return pluginapi.Degraded(err.Error())
	}
	return nil
}

// Metrics returns the store's numbers.
func (k *keeper) Metrics(context.Context) ([]byte, error) { return k.Numbers().prometheus(), nil }

// Stop ends the goroutine and closes the store.
func (k *keeper) Stop(context.Context) error {
	k.cancel()
	<-k.done
	return k.Close()
}
