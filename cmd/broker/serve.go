package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/core/quota"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/store"
	"github.com/gatehouse-mqtt/gatehouse/internal/tracing"
)

const (
	defaultListener = "tcp://127.0.0.1:1883"
	defaultDataDir  = "gatehouse-data"

	// stopTimeout bounds each step of a shutdown.
	stopTimeout = 15 * time.Second
)

type serveCmd struct {
	Config      string   `help:"Configuration file." placeholder:"FILE"`
	Listen      []string `help:"Address to open; repeatable, in place of the file's listeners." placeholder:"URL"`
	PluginDir   string   `help:"Folder of plugins." placeholder:"DIR"`
	DataDir     string   `help:"Folder for what has to be kept." placeholder:"DIR"`
	RunDir      string   `help:"Private folder for sockets, with a short path." placeholder:"DIR"`
	Admin       string   `help:"Address of the admin API, beside admin.sock in the run folder: unix:///PATH in its place, http://127.0.0.1:PORT, or https://HOST:PORT." placeholder:"URL"`
	LogLevel    string   `help:"debug, info, warn or error." placeholder:"LEVEL" enum:",debug,info,warn,error" default:""`
	LogFormat   string   `help:"text or json." placeholder:"FORMAT" enum:",text,json" default:""`
	CheckConfig bool     `help:"Check the configuration and end."`
}

// load reads the file and lays the flags over it.
func (cmd *serveCmd) load() (*config, error) {
	cfg := new(config)
	if cmd.Config != "" {
		var err error
		if cfg, err = loadConfig(cmd.Config); err != nil {
			return nil, err
		}
	}
	if len(cmd.Listen) > 0 {
		cfg.Listeners = nil
		for _, u := range cmd.Listen {
			if _, err := listener.Parse(u); err != nil {
				return nil, err
			}
			cfg.Listeners = append(cfg.Listeners, listenerConfig{URL: u})
		}
	}
	override(&cfg.PluginDir, cmd.PluginDir)
	override(&cfg.DataDir, cmd.DataDir)
	override(&cfg.RunDir, cmd.RunDir)
	override(&cfg.Log.Level, cmd.LogLevel)
	override(&cfg.Log.Format, cmd.LogFormat)
	if len(cfg.Listeners) == 0 {
		cfg.Listeners = []listenerConfig{{URL: defaultListener}}
	}
	if cfg.DataDir == "" {
		cfg.DataDir = defaultDataDir
	}
	if cfg.RunDir == "" {
		cfg.RunDir = defaultRunDir()
	}
	return cfg, nil
}

func override(field *string, flag string) {
	if flag != "" {
		*field = flag
	}
}

// Run runs the broker until a signal ends it.
func (cmd *serveCmd) Run(t *terminal) error {
	cfg, err := cmd.load()
	if err != nil {
		return err
	}
	if cmd.CheckConfig {
		if err := checkCertificates(cfg.Listeners); err != nil {
			return err
		}
		_, err := fmt.Fprintln(t.out, "the configuration is good")
		return err
	}
	log, level := newLogger(t.err, cfg.Log.Format, cfg.Log.Level)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &server{
		cfg: cfg, log: log, level: level, load: cmd.load, file: cmd.Config, out: t.out, adminURL: cmd.Admin,
	}
	return s.run(ctx)
}

// server is one run of the broker.
type server struct {
	cfg      *config // as it was at the start
	log      *slog.Logger
	level    *logLevel
	audit    *auditLog
	traces   *tracing.Tracer // nil: none
	unwatch  func()          // has traces watch no hooks any more
	watched  *metricsServer
	admin    *adminServer
	load     func() (*config, error) // reads the configuration again
	file     string                  // that it is read from; "" for none
	out      interface{ Write([]byte) (int, error) }
	adminURL string

	host     *pluginhost.Host
	hooks    *hook.Hooks
	retained *retain.Index
	kept     *retainedStore
	broker   *broker.Broker
	shadows  *shadows // of plugins
	bans     *ban.List
	quotas   *quota.Ledger
	router   *router.Router
	sessions *store.Store // nil: sessions are in memory

	inherited inherited
	addresses *addresses
	inForce   atomic.Pointer[inForce]             // the configuration
	reloads   chan reloadAnswer                   // reloads that the admin API asks for
	access    atomic.Pointer[access]              // in force
	bound     atomic.Pointer[pluginhost.Bindings] // what the plugins serve; nil before
	serving   chan struct{}                       // closed when the listeners are open
	farewells hostStopper                         // of plugins that stop the broker

	life        life                         // how far it has come
	scraped     atomic.Pointer[http.Handler] // answers /metrics; nil before
	adminCloses <-chan struct{}              // closed when streams of the admin API are to end
}

// run starts everything in order, serves, and stops everything in the opposite
// order. Listeners open last and close first.
func (s *server) run(ctx context.Context) (err error) {
	if err := makePrivate(s.cfg.RunDir); err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := s.chooseRetained(); err != nil {
		return err
	}
	bans, err := ban.Open(ban.Options{Path: filepath.Join(s.cfg.DataDir, "bans.json"), Logger: s.log})
	if err != nil {
		return err
	}
	s.bans = bans
	closeQuotas, err := s.openQuotas()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeQuotas()) }()
	s.inherited = inheritedSockets() // before anything is started that could inherit them again
	s.access.Store(s.cfg.access())
	s.inForce.Store(&inForce{s.cfg, time.Now()})
	s.reloads = make(chan reloadAnswer)
	s.serving = make(chan struct{})
	s.farewells = make(hostStopper, 1)
	s.hooks = hook.NewHooks(s.log)
	if s.audit, err = openAudit(s.cfg.Log.Audit, s.log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.audit.close()) }()
	defer s.level.stop()
	watched, err := openMetrics(ctx, &s.cfg.Metrics)
	if err != nil {
		return err
	}
	s.serveMetrics(watched)
	defer func() { err = errors.Join(err, s.watched.close()) }()
	traces, err := newTracer(&s.cfg.Traces, s.log)
	if err != nil {
		return err
	}
	s.followTraces(traces)
	defer func() { s.followTraces(nil)() }()
	bindings, err := s.startPlugins(ctx)
	defer func() { err = errors.Join(err, s.stopPlugins()) }()
	if err != nil {
		return err
	}
	if err := s.checkOpenness(bindings); err != nil {
		return err
	}
	defer s.followReloads(ctx)()
	closeSessions, err := s.openSessions()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSessions()) }()
	stopRetained, err := s.startRetained(ctx, bindings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopRetained()) }()
	s.router = router.New(router.Options{Strategy: strategies[s.cfg.MQTT.SharedStrategy]})
	s.broker = broker.New(s.brokerOptions(s.cfg))
	if err := s.broker.Restore(ctx); err != nil {
		return err
	}
	s.addresses = newAddresses(s.log, s.broker, s.inherited)
	s.host.SetServerAPI(hostAPI(s.broker, s.farewells))
	s.shadows = newShadows(s.log, s.host, s.hooks)
	defer s.shadows.stop()
	s.shadows.configure(s.cfg.Plugins)
	s.watchable()
	if s.admin, err = s.openAdmin(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.admin.close()) }()
	return s.serve(ctx)
}

// startPlugins starts the plugins and binds their hooks.
func (s *server) startPlugins(ctx context.Context) (pluginhost.Bindings, error) {
	plugins, err := s.cfg.pluginConfigs()
	if err != nil {
		return pluginhost.Bindings{}, err
	}
	s.host, err = pluginhost.New(pluginhost.Options{
		PluginDir: s.cfg.PluginDir, RunDir: s.cfg.RunDir, DataDir: s.cfg.DataDir, Plugins: plugins, Store: s.kept.name,
		Version: brokerVersion(), Logger: s.log, LogLevel: s.cfg.Log.Level, OnChange: s.bind, Permit: s.checkOpenness,
		LockFile: s.cfg.PluginsLock, Locked: s.cfg.PluginsLocked, Watch: s.hooks.Watch(),
	})
	if err != nil {
		return pluginhost.Bindings{}, err
	}
	b, err := s.host.Start(ctx)
	if err != nil {
		return b, err
	}
	s.bind(b)
	return b, nil
}

// bind hands what the plugins serve to the hooks. Should the last validator go
// while the network can reach the broker, nobody gets in any more.
func (s *server) bind(b pluginhost.Bindings) {
	s.bound.Store(&b)
	validators := b.Validators
	if err := s.checkOpenness(b); err != nil {
		s.log.Error("every client is refused", slog.Any("error", err))
		validators = []hook.ValidatorEntry{{Name: "closed", Validator: hook.ValidatorFunc(refuseAll)}}
	}
	s.hooks.SetValidators(validators)
	s.hooks.SetInterceptors(b.Interceptors)
	s.hooks.SetObservers(b.Observers)
}

func (s *server) stopPlugins() error {
	s.hooks.Close()
	if s.host == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return s.host.Stop(ctx)
}

// refuseAll is the validator of a broker that has lost its own.
func refuseAll(context.Context, *hook.Connect) (*hook.Decision, error) {
	return &hook.Decision{Verdict: hook.Deny, Code: mqtt.NotAuthorized, Reason: "no plugin validates connections"}, nil
}

// checkOpenness refuses to let the whole network in by accident.
func (s *server) checkOpenness(b pluginhost.Bindings) error {
	return openness(*s.access.Load(), b)
}

// access is what decides whether the broker is open to everybody.
type access struct {
	anonymous bool // is what is wanted
	listeners []listenerConfig
}

func (c *config) access() *access { return &access{c.AllowAnonymous, c.Listeners} }

func openness(a access, b pluginhost.Bindings) error {
	if a.anonymous {
		return nil
	}
	for i := range a.listeners {
		l := &a.listeners[i]
		u, err := listener.Parse(l.URL)
		if err != nil {
			return err
		}
		validated := len(b.Validators) > 0 && (l.Validators == nil || len(l.Validators) > 0)
		certified := l.TLS != nil && l.TLS.ClientCertificates == "required"
		if !validated && !certified && (l.Systemd != "" || !listener.IsLoopback(u)) {
			return fmt.Errorf("listener %s can be reached from other machines and no plugin validates connections: "+
				"add a validator such as authfile, listen on 127.0.0.1, or set allow_anonymous: true", l.URL)
		}
	}
	return nil
}

// serve opens the listeners and serves until ctx ends.
func (s *server) serve(ctx context.Context) error {
	serving, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := s.addresses.openAll(ctx, s.cfg.Listeners); err != nil {
		return err
	}
	close(s.serving)
	s.life.step(isServing)
	defer s.addresses.closeAll()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := make(chan error, 1)
	wg.Go(func() { failed <- s.broker.Run(serving) })
	if _, err := fmt.Fprintln(s.out, "ready", strings.Join(s.listenerURLs(), " ")); err != nil {
		s.log.Debug("nobody reads standard output", "error", err)
	}
	systemd := supervisor{s.log}
	systemd.ready()
	wg.Go(func() { giveBack(serving, func() int { return s.broker.Stats().Idle }, freeMemory) })
	wg.Go(func() { systemd.watch(serving, func() { s.broker.Stats() }) })
	var cause error
	var farewell broker.Farewell
	select {
	case farewell = <-s.farewells:
		s.log.Info("shutting down, as a plugin says", slog.String("reason", farewell.Reason))
	case <-ctx.Done():
		s.log.Info("shutting down")
	case cause = <-failed:
	case cause = <-s.addresses.failed:
	}
	s.life.step(isStopping)
	systemd.stopping()
	sctx, done := context.WithTimeout(context.Background(), stopTimeout)
	defer done()
	return errors.Join(cause, s.broker.ShutdownWith(sctx, farewell))
}

// listenerURLs are the addresses that are open, as clients write them.
func (s *server) listenerURLs() []string { return s.addresses.urls() }
