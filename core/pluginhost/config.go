package pluginhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// Config is one plugin's entry in the broker's configuration.
type Config struct {
	// Name is the plugin's name here: lower-case letters, digits and dashes.
	Name string
	// Path is a plugin's folder or executable. Empty means that it is in
	// Options.PluginDir under its name.
	Path string
	// Attach is the address of a plugin that somebody else runs,
	// "unix:///path/to/socket". Empty means that the broker runs it.
	Attach string
	// Enabled is whether it is started. Nil means yes.
	Enabled *bool
	// Required is whether [Host.Start] fails without it. Nil means yes for a
	// validator, for the store, and for a plugin of which the host can't tell
	// what it serves; no for the others.
	Required *bool
	// Order is its place among the plugins, lowest first. Plugins of the same
	// place are ordered by name.
	Order int
	// Config is the plugin's own configuration, a JSON object. Nil means {}.
	Config []byte
	// Env are variables that are added to the plugin's environment.
	Env map[string]string

	Validator   hook.Policy
	Interceptor hook.Policy
	Observer    ObserverConfig
	Store       StoreConfig

	// MayBypassAuthorization honours a plugin's wish to intercept before
	// grants are checked, or to be exempt from checking again what it changed.
	MayBypassAuthorization bool
	// Scopes are what the plugin may ask of the broker, see [Scopes]. None by
	// default.
	Scopes []string
	// SHA256 is the hash that the program's file must have, in hexadecimal.
	// Empty means any.
	SHA256 string
	// StartTimeout bounds the way from the start of the process to the end of
	// Init. Zero means 10 s.
	StartTimeout time.Duration
	// DebugTimeout is for how long an instance that came by attach.json, such as
	// one under a debugger, may answer nothing before the one that the broker runs
	// takes over again. Zero means 5 minutes.
	DebugTimeout time.Duration
	// Probation is for how long after a new instance took over the old one
	// stands by, to come back if the new one shows a defect. Zero means 10 s,
	// negative that it does not.
	Probation time.Duration
	// MaxFailures is how many failures within ten minutes make the host give
	// the plugin up. Zero means 5, negative never.
	MaxFailures int
}

// ObserverConfig bounds an observer.
type ObserverConfig struct {
	Queue int // events that may wait for it; zero means the hook's default
}

// StoreConfig says how the broker uses a store. The host only carries it.
type StoreConfig struct {
	WriteBehind bool // acknowledge before the store has a message
}

// Options configure a [Host].
type Options struct {
	// PluginDir is searched for plugins. Empty means that only configured ones
	// are run.
	PluginDir string
	// RunDir holds sockets and is used by one broker at a time. It is made if
	// it does not exist.
	RunDir string
	// DataDir holds a private folder for each plugin, in plugins/NAME.
	DataDir string
	// Plugins are the configured ones.
	Plugins []Config
	// Store names the plugin that keeps the retained messages; other stores run
	// and keep nothing, until messages are moved to them. Empty means the only
	// one that can, or the only one of those that Plugins names.
	Store string
	// LockFile has the hashes of the plugins' files; see [Lock]. A plugin whose
	// files differ is not started. Empty means plugins.lock in PluginDir. A
	// file that does not exist has no entries.
	LockFile string
	// Locked refuses plugins that have no entry in the lock file, but for those
	// that somebody else runs; otherwise they are warned of once.
	Locked bool
	// Version is the broker's, for the plugins to see.
	Version string
	// Logger takes the host's log and, with the attribute plugin, those of the
	// plugins. Nil discards.
	Logger *slog.Logger
	// LogLevel is the level that plugins are asked to log at: "trace",
	// "debug", "info", "warn" or "error". Empty means "info".
	LogLevel string
	// Watch is where calls of the store can be watched, as those of hooks are by
	// hook.Hooks. Nil means nowhere.
	Watch *hook.Watch
	// OnChange is told whenever what is served differs from what Start
	// returned or OnChange was told last. It is called from one goroutine, not
	// after Stop has returned. Nil means that nobody wants to know.
	OnChange func(Bindings)
	// Permit is asked before a plugin stops taking part, with what is left: an
	// error, which says why that must not be, keeps it. It may be called from
	// many goroutines. Nil permits everything.
	Permit func(Bindings) error
}

// Bindings are the hooks that the host's plugins serve, in their order. An
// entry is there as soon as the plugin's manifest names its service, whether
// or not the plugin runs: what happens meanwhile is its policy. A plugin that
// was added after the start takes part from its first instance on. The hooks in
// the entries keep their identity while the plugin takes part; an interceptor's
// changes when its interests do.
type Bindings struct {
	Validators   []hook.ValidatorEntry
	Interceptors []hook.InterceptorEntry
	Observers    []hook.ObserverEntry
	Store        retain.Store // nil if no plugin is a store
	StoreName    string
}

const defaultStartTimeout = 10 * time.Second

// nameSyntax is that of manifests.
var nameSyntax = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// checkName refuses names that can't be a plugin's. The broker's own socket is
// admin.sock, and a plugin's is NAME.sock beside it.
func checkName(name string) error {
	if !nameSyntax.MatchString(name) {
		return fmt.Errorf("plugin %q: a name has up to 63 lower-case letters, digits and dashes", name)
	}
	if name == "admin" {
		return fmt.Errorf("plugin %q: the name is reserved for the broker itself, use another", name)
	}
	return nil
}

// check returns all that is wrong with an entry.
func (c *Config) check() error {
	errs := []error{checkName(c.Name)}
	bad := func(err error) { errs = append(errs, fmt.Errorf("plugin %s: %w", c.Name, err)) }
	if c.Path != "" && c.Attach != "" {
		bad(errors.New("path and attach exclude each other"))
	}
	if c.Attach != "" {
		if _, err := socketPath(c.Attach); err != nil {
			bad(fmt.Errorf("attach: %w", err))
		}
	}
	if len(c.Config) > 0 {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(c.Config, &object); err != nil {
			bad(fmt.Errorf("config is not a JSON object: %w", err))
		}
	}
	if err := checkEnv(c.Env); err != nil {
		bad(err)
	}
	if err := checkScopes(c.Scopes); err != nil {
		bad(err)
	}
	if c.StartTimeout < 0 {
		bad(errors.New("start_timeout is negative"))
	}
	if c.SHA256 != "" && !hashSyntax.MatchString(c.SHA256) {
		bad(errors.New("sha256 is not 64 hexadecimal digits"))
	}
	return errors.Join(errs...)
}

var hashSyntax = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

func (c *Config) enabled() bool { return c.Enabled == nil || *c.Enabled }

func (c *Config) startTimeout() time.Duration {
	if c.StartTimeout == 0 {
		return defaultStartTimeout
	}
	return c.StartTimeout
}

// configJSON is the plugin's own configuration as it is told.
func (c *Config) configJSON() []byte {
	if len(c.Config) == 0 {
		return []byte("{}")
	}
	return c.Config
}
