package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// inForce is a configuration as it is in force: what was loaded last, but for
// what takes effect at the next start or was not taken.
type inForce struct {
	config *config
	since  time.Time
}

// reloadAnswer takes what came of a reload; it has room for it.
type reloadAnswer chan *adminv1.ReloadConfigResponse

// liveConfig is the configuration of a running broker. It implements
// admin.Config.
type liveConfig struct {
	*server
	closes <-chan struct{} // closed when calls are to end
}

// GetConfig implements admin.Config.
func (c liveConfig) GetConfig() (*adminv1.GetConfigResponse, error) {
	now := c.inForce.Load()
	text, err := now.config.shown(c.broker.Limits())
	if err != nil {
		return nil, err
	}
	out := &adminv1.GetConfigResponse{Yaml: string(text), LoadedUnixNanos: now.since.UnixNano()}
	if c.file != "" {
		if out.File, err = filepath.Abs(c.file); err != nil {
			out.File = c.file
		}
	}
	return out, nil
}

// CheckConfig implements admin.Config.
func (c liveConfig) CheckConfig(context.Context) (*adminv1.CheckConfigResponse, error) {
	return c.check(), nil
}

func (c liveConfig) check() *adminv1.CheckConfigResponse {
	cfg, err := c.load()
	if err == nil {
		err = checkCertificates(cfg.Listeners)
	}
	if err == nil {
		_, err = cfg.pluginConfigs()
	}
	if err != nil {
		return &adminv1.CheckConfigResponse{Error: err.Error()}
	}
	before := *c.cfg
	before.Admin = cfg.Admin // a reload tells if it can't follow
	if cfg.Retained.Store != "" {
		before.Retained.Store = cfg.Retained.Store // a reload moves the messages there
	}
	return &adminv1.CheckConfigResponse{NeedsRestart: before.needsRestart(cfg)}
}

// ReloadConfig implements admin.Config.
func (c liveConfig) ReloadConfig(ctx context.Context) (*adminv1.ReloadConfigResponse, error) {
	answer := make(reloadAnswer, 1)
	select {
	case c.reloads <- answer:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.closes:
		return nil, errStops
	}
	select {
	case out := <-answer:
		return out, nil
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), errors.New("the reload goes on; the log will tell how it ends"))
	}
}
