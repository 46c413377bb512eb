package pluginapi

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// instance is the author's value after a good Init, with the interfaces that it
// has.
type instance struct {
	value any
	setup setupOf

	validator     Validator
	authenticator Authenticator
	publish       PublishInterceptor
	subscribe     SubscribeInterceptor
	unsubscribe   UnsubscribeInterceptor
	deliver       DeliverInterceptor
	batch         BatchInterceptor
	observer      Observer
	store         Store

	interest atomic.Pointer[[]Interest] // what it wants to be asked

	observing sync.Mutex // held over Observe, whose batches come one by one
	applying  sync.Mutex // held over Apply
}

// setupOf is what every Setup of an instance has in common.
type setupOf struct {
	instance, dataDir string
	host              *Host // nil for none
}

// setup makes the Setup for a configuration.
func (c *core) setup(of setupOf, config []byte) *Setup {
	return &Setup{
		Instance: of.instance, DataDir: of.dataDir, Logger: c.log, Host: of.host,
		config: config, defaults: c.plugin.Config,
	}
}

// newInstance makes the plugin. An error is about the configuration; a bug of
// the author's is a gRPC status.
func (c *core) newInstance(ctx context.Context, s *Setup) (*instance, error) {
	value := c.plugin.Hooks
	if c.plugin.New != nil {
		var err error
		if value, err = c.plugin.New(ctx, s); err != nil {
			return nil, err
		}
	}
	in := &instance{value: value, setup: setupOf{s.Instance, s.DataDir, s.Host}}
	if err := c.settle(in, s); err != nil {
		// Whatever New has opened would stay open beside the next try's.
		_ = c.stopValue(ctx, in)
		return nil, err
	}
	return in, nil
}

// settle finds the interfaces of the value and checks that they are those the
// broker was told of.
func (c *core) settle(in *instance, s *Setup) error {
	if in.value == nil {
		return status.Error(codes.Internal, "Plugin.New returned neither a plugin nor an error")
	}
	if a := abilitiesOf(reflect.TypeOf(in.value)); a != c.abilities {
		return status.Errorf(codes.Internal, "Plugin.New returned a %T, which has other hooks than Plugin.Hooks, a %T", in.value, c.plugin.Hooks)
	}
	if c.plugin.Config == nil && !s.read {
		if err := decodeConfig(s.config, &struct{}{}); err != nil {
			return err
		}
	}
	in.validator, _ = in.value.(Validator)
	in.authenticator, _ = in.value.(Authenticator)
	in.publish, _ = in.value.(PublishInterceptor)
	in.subscribe, _ = in.value.(SubscribeInterceptor)
	in.unsubscribe, _ = in.value.(UnsubscribeInterceptor)
	in.deliver, _ = in.value.(DeliverInterceptor)
	in.batch, _ = in.value.(BatchInterceptor)
	in.observer, _ = in.value.(Observer)
	in.store, _ = in.value.(Store)
	return c.askInterest(in)
}

// askInterest asks the value what it wants to be asked.
func (c *core) askInterest(in *instance) error {
	list, err := interestOf(in.value, c.abilities)
	if err != nil {
		return status.Errorf(codes.Internal, "%v", err)
	}
	in.interest.Store(&list)
	return nil
}

// prepare gets the running plugin ready for an interest that the broker is about
// to be told, and returns how to go back if it refuses.
func (c *core) prepare(list []Interest) (back func(), err error) {
	if err := c.abilities.checkInterests(list); err != nil {
		return nil, err
	}
	in := c.running.Load()
	if in == nil {
		return nil, errors.New("the plugin is not initialised")
	}
	old := in.interest.Swap(&list)
	return func() { in.interest.Store(old) }, nil
}

// checkConfig finds what is wrong with a configuration without using it.
func (c *core) checkConfig(ctx context.Context, of setupOf, config []byte) (warnings []ConfigError, err error) {
	if c.plugin.Config != nil {
		if err := decodeConfig(config, copyOfStruct(c.plugin.Config)); err != nil {
			return nil, err
		}
	} else if c.plugin.New == nil {
		if err := decodeConfig(config, &struct{}{}); err != nil {
			return nil, err
		}
	}
	if c.plugin.Check == nil {
		return nil, nil
	}
	s := c.setup(of, config)
	s.Logger = slog.New(slog.DiscardHandler)
	err = c.plugin.Check(ctx, s)
	return s.warnings, err
}

// copyOfStruct returns a pointer to a copy of what p points to.
func copyOfStruct(p any) any {
	v := reflect.ValueOf(p).Elem()
	fresh := reflect.New(v.Type())
	fresh.Elem().Set(v)
	return fresh.Interface()
}

// diagnostics are the remarks about a configuration: an error's first. An error
// that is a gRPC status already is none of them.
func diagnostics(err error, warnings []ConfigError) []*pluginv1.Diagnostic {
	var all []*pluginv1.Diagnostic
	for _, e := range configErrors(err) {
		all = append(all, diagnostic(pluginv1.Severity_SEVERITY_ERROR, e))
	}
	for _, w := range warnings {
		all = append(all, diagnostic(pluginv1.Severity_SEVERITY_WARNING, w))
	}
	return all
}

func diagnostic(s pluginv1.Severity, e ConfigError) *pluginv1.Diagnostic {
	return &pluginv1.Diagnostic{Severity: s, Path: toValidUTF8(e.Path), Message: toValidUTF8(e.Message)}
}

// isStatus reports whether an error is a gRPC status, which is about the plugin
// and not about its configuration.
func isStatus(err error) bool {
	_, ok := status.FromError(err)
	return err != nil && ok
}
