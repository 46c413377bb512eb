package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"time"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// followReloads reads the configuration again whenever somebody asks for it,
// until the returned function is called, which waits for a reload that runs.
// What is asked for while the broker starts is done when it has.
func (s *server) followReloads(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hup := make(chan os.Signal, 1)
	notifyReload(hup)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-s.serving:
		case <-ctx.Done():
			return
		}
		for {
			select {
			case <-hup:
				s.reloadAsked(ctx)
			case answer := <-s.reloads:
				answer <- s.reloadAsked(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		signal.Stop(hup)
		cancel()
		wg.Wait()
	}
}

// reloadAsked tells who started the broker meanwhile that it is not down.
func (s *server) reloadAsked(ctx context.Context) *adminv1.ReloadConfigResponse {
	supervisor{s.log}.reloading()
	defer supervisor{s.log}.ready()
	return s.reload(ctx)
}

// reload puts in force what can be while clients are connected: the log, the
// limits, what the protocol leaves to the server, the listeners and their
// certificates, what surrounds the broker, the plugins, and which of them keeps
// the retained messages. A configuration that can't be read, or whose listeners
// or files can't be opened, changes nothing at all; a plugin that does not take its part
// of it goes on with the old one.
func (s *server) reload(ctx context.Context) *adminv1.ReloadConfigResponse {
	now := *s.inForce.Load().config
	cfg, err := s.load()
	var planned *change
	var around *services
	if err == nil {
		planned, err = s.addresses.plan(ctx, cfg.Listeners)
	}
	if err == nil {
		if around, err = s.planServices(ctx, cfg, &now); err != nil {
			planned.discard()
		}
	}
	if err != nil {
		s.log.Error("configuration not reloaded: the old one stays in force", "error", err)
		return &adminv1.ReloadConfigResponse{Error: err.Error(), Rejected: true}
	}
	before := *s.cfg
	before.Admin = cfg.Admin
	if around.admin == nil {
		before.Admin = now.Admin // what was asked for takes a start
	}
	s.level.configure(cfg.Log.Level)
	ended, aerr := around.follow(ctx, s, cfg, &now)
	s.follow(cfg, &now)
	ended()
	plugins, err := cfg.pluginConfigs()
	if err == nil {
		now.Plugins = cfg.Plugins
		// What is to keep the retained messages runs by then, and what keeps them
		// does still.
		err = s.host.Configure(ctx, plugins, func(ctx context.Context) error {
			followed, err := s.followStore(ctx, cfg.Retained.Store)
			if followed {
				before.Retained.Store = cfg.Retained.Store
				now.Retained.Store = cfg.Retained.Store
			}
			return err
		})
	}
	err = errors.Join(err, aerr)
	s.shadows.configure(cfg.Plugins)
	if lerr := s.changeListeners(ctx, cfg, planned); lerr != nil {
		err = errors.Join(err, lerr)
	} else {
		now.Listeners, now.AllowAnonymous = cfg.Listeners, cfg.AllowAnonymous
	}
	s.inForce.Store(&inForce{&now, time.Now()})
	out := &adminv1.ReloadConfigResponse{NeedsRestart: before.needsRestart(cfg)}
	if keys := out.GetNeedsRestart(); len(keys) > 0 {
		s.log.Warn("some changes of the configuration take effect at the next start", "keys", strings.Join(keys, ", "))
	}
	if err != nil {
		s.log.Error("configuration reloaded, but not all of it", "error", err)
		out.Error = err.Error()
		return out
	}
	s.log.Info("configuration reloaded", "level", s.level.current().String())
	return out
}

// follow puts in force what the broker can change of itself, and notes it in now.
func (s *server) follow(cfg, now *config) {
	s.level.format.set(cfg.Log.Format)
	s.retained.SetWriteBehind(cfg.Retained.WriteBehind)
	s.broker.Reconfigure(s.brokerOptions(cfg))
	s.router.SetStrategy(strategies[cfg.MQTT.SharedStrategy])
	now.Log.Level, now.Log.Format = cfg.Log.Level, cfg.Log.Format
	store, strict := now.Sessions.Store, now.Sessions.Strict // of the store that is open
	now.Sessions = cfg.Sessions
	now.Sessions.Store, now.Sessions.Strict = store, strict
	now.Limits, now.MQTT, now.SysInterval = cfg.Limits, cfg.MQTT, cfg.SysInterval
	now.Retained.WriteBehind = cfg.Retained.WriteBehind
}

// changeListeners puts planned listeners in force, unless they would let
// everybody in: that is known only now that the plugins are those of cfg.
func (s *server) changeListeners(ctx context.Context, cfg *config, planned *change) error {
	if err := openness(*cfg.access(), *s.bound.Load()); err != nil {
		planned.discard()
		return err
	}
	err := planned.apply(ctx)
	s.access.Store(cfg.access())
	s.bind(*s.bound.Load())
	return err
}

// needsRestart names the keys that differ from those of another configuration,
// without what reload sees to.
func (c *config) needsRestart(o *config) []string {
	var keys []string
	a, b := reflect.ValueOf(*c), reflect.ValueOf(*o)
	for i := range a.NumField() {
		key := a.Type().Field(i).Tag.Get("yaml")
		x, y := a.Field(i).Interface(), b.Field(i).Interface()
		switch key {
		case "plugins", "listeners", "allow_anonymous", "limits", "mqtt", "sys_interval", "log", "metrics", "traces":
			continue
		case "sessions":
			if c.Sessions.Store != o.Sessions.Store {
				keys = append(keys, "sessions.store")
			}
			if c.Sessions.Strict != o.Sessions.Strict {
				keys = append(keys, "sessions.strict")
			}
			continue
		case "retained":
			if c.Retained.Store == o.Retained.Store {
				continue
			}
		}
		if !reflect.DeepEqual(x, y) {
			keys = append(keys, key)
		}
	}
	return keys
}
