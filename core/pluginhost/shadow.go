package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// ShadowConfig says which second version of a plugin is to run beside it.
type ShadowConfig struct {
	// Path is its folder or program, absolute. Empty means Attach.
	Path string
	// Attach is the address of one that somebody else runs,
	// "unix:///path/to/socket".
	Attach string
	// Config is its own configuration, a JSON object. Nil means the one that the
	// plugin has.
	Config []byte
}

// shadowing is what makes a host one of shadows; nil for any other.
type shadowing struct {
	refused atomic.Uint64 // calls of the broker that would have changed something
}

// Shadow makes a host of its own, which is not started, for a second version of
// a plugin. It has folders of its own and the plugin's policies, but holds no
// call; it may read what the plugin may read of the broker and change nothing;
// it keeps no retained messages. A version that could write what the plugin
// writes, because it is a store or declares itself exclusive, is not started, nor
// with Options.Locked one whose files have no entry in the lock file. onChange is
// as in [Options].
//
// The caller starts and stops it, and stops it before h. The error says that
// there is no such plugin or that c makes no sense.
func (h *Host) Shadow(name string, c ShadowConfig, onChange func(Bindings)) (*Host, error) {
	m := h.find(name)
	if m == nil {
		return nil, fmt.Errorf("there is no plugin %s", name)
	}
	entry := m.Config
	if m.supervisor != nil {
		entry = m.supervisor.settings().Config
	}
	if (c.Path == "") == (c.Attach == "") {
		return nil, fmt.Errorf("shadow of plugin %s: give either a path or an address to attach", name)
	}
	if c.Attach != "" && h.options.Locked {
		return nil, fmt.Errorf("shadow of plugin %s: what somebody else runs at %s has no files to compare with %s, and plugins_locked demands that",
			name, c.Attach, cmp.Or(h.options.lockFile(), "a lock file"))
	}
	o := Options{
		RunDir: filepath.Join(h.options.RunDir, "shadows", name), DataDir: filepath.Join(h.options.DataDir, "shadows"),
		Plugins: []Config{entry.ofShadow(c)}, Store: noPlugin, LockFile: h.options.lockFile(), Locked: h.options.Locked,
		Version: h.options.Version, Logger: h.log.With(slog.Bool("shadow", true)), LogLevel: h.options.LogLevel, OnChange: onChange,
	}
	s, err := New(o)
	if err != nil {
		return nil, err
	}
	s.shadowing, s.timing = new(shadowing), h.timing
	s.SetServerAPI(h.api.Load())
	return s, nil
}

// ofShadow is the entry of a shadow of the plugin.
func (c *Config) ofShadow(sc ShadowConfig) Config {
	out := Config{
		Name: c.Name, Path: sc.Path, Attach: sc.Attach, Required: new(bool), Config: c.Config, Env: c.Env,
		Validator: unheld(c.Validator), Interceptor: unheld(c.Interceptor), Observer: c.Observer,
		MayBypassAuthorization: c.MayBypassAuthorization, StartTimeout: c.StartTimeout, MaxFailures: c.MaxFailures,
	}
	if sc.Config != nil {
		out.Config = sc.Config
	}
	for _, scope := range c.Scopes {
		if strings.HasSuffix(scope, ".read") {
			out.Scopes = append(out.Scopes, scope)
		}
	}
	return out
}

// unheld is a policy under which nobody waits for a plugin that is away.
func unheld(p hook.Policy) hook.Policy {
	p.OnError = hook.OnErrorRefuse
	return p
}

// RefusedChanges is how often plugins of a host that [Host.Shadow] made asked the
// broker for something that would have changed it, and were refused.
func (h *Host) RefusedChanges() uint64 {
	if h.shadowing == nil {
		return 0
	}
	return h.shadowing.refused.Load()
}

// check refuses a plugin that could write what another instance writes.
func (s *shadowing) check(services []string, exclusive bool) error {
	switch {
	case s == nil:
		return nil
	case servedBy(services).store:
		return errors.New("it is a store for retained messages, and a second one could write the same files: a store can't be a shadow")
	case exclusive:
		return errors.New("it declares itself exclusive, because a second instance could write the same files: it can't be a shadow")
	default:
		return nil
	}
}

// checkManifest is check for a plugin that has not been started.
func (s *shadowing) checkManifest(m *pluginapi.Manifest) error {
	if m == nil {
		return nil
	}
	return s.check(m.Services, m.Exclusive)
}

// checkRunning is check for a plugin that somebody else runs, before it is given
// a configuration. One that does not describe itself is looked at after Init.
func (s *shadowing) checkRunning(ctx context.Context, conn *grpc.ClientConn) error {
	if s == nil {
		return nil
	}
	out, err := pluginv1.NewPluginServiceClient(conn).Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return nil //nolint:nilerr // what is wrong with the connection Init finds out
	}
	m, err := pluginapi.ParseManifest(out.GetManifestJson())
	if err != nil {
		return nil //nolint:nilerr // it need not have one
	}
	return s.checkManifest(m)
}

// pinned reports whether files with a hash may be those of a shadow: whoever
// wrote the lock file has accepted them, under whatever name.
func (s *shadowing) pinned(locked map[string]string, hash string) bool {
	if s == nil {
		return false
	}
	for _, sum := range locked {
		if sum == hash {
			return true
		}
	}
	return false
}

// mayCall reports whether a plugin may make a call of the broker that needs a
// scope: a shadow only reads.
func (s *shadowing) mayCall(scope string) bool {
	if s == nil || scope == "" || strings.HasSuffix(scope, ".read") {
		return true
	}
	s.refused.Add(1)
	return false
}
