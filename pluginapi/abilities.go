package pluginapi

import (
	"errors"
	"fmt"
	"reflect"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// abilities are the interfaces that a type of hooks has. They are read from the
// type, because the broker asks for them before there is a value.
type abilities struct {
	validate, authenticate                          bool
	publish, subscribe, unsubscribe, deliver, batch bool
	observe                                         bool
	store, snapshot                                 bool
	reconfigure                                     bool
}

func abilitiesOf(t reflect.Type) abilities {
	return abilities{
		validate:     has[Validator](t),
		authenticate: has[Validator](t) && has[Authenticator](t),
		publish:      has[PublishInterceptor](t),
		subscribe:    has[SubscribeInterceptor](t),
		unsubscribe:  has[UnsubscribeInterceptor](t),
		deliver:      has[DeliverInterceptor](t),
		batch:        has[BatchInterceptor](t),
		observe:      has[Observer](t),
		store:        has[Store](t),
		snapshot:     has[Store](t) && has[Snapshotter](t),
		reconfigure:  has[Reconfigurer](t),
	}
}

func has[I any](t reflect.Type) bool { return t.Implements(reflect.TypeFor[I]()) }

// intercepts reports whether there is an interceptor of any kind.
func (a abilities) intercepts() bool {
	return a.publish || a.subscribe || a.unsubscribe || a.deliver || a.batch
}

// asks reports whether the hooks can be asked at a point; a batch interceptor
// can at all of its kind.
func (a abilities) asks(h Hook) bool {
	switch h {
	case HookConnect:
		return a.validate
	case HookPublish:
		return a.publish || a.batch
	case HookSubscribe:
		return a.subscribe || a.batch
	case HookUnsubscribe:
		return a.unsubscribe || a.batch
	case HookDeliver:
		return a.deliver || a.batch
	case HookEvent:
		return a.observe
	case HookRetain:
		return a.store
	}
	return false
}

// services are the full names of the gRPC services for these abilities.
func (a abilities) services() []string {
	var names []string
	for _, s := range []struct {
		served bool
		name   string
	}{
		{a.validate, pluginv1.ConnectionValidatorService_ServiceDesc.ServiceName},
		{a.intercepts(), pluginv1.MessageInterceptorService_ServiceDesc.ServiceName},
		{a.observe, pluginv1.ObserverService_ServiceDesc.ServiceName},
		{a.store, pluginv1.RetainedStoreService_ServiceDesc.ServiceName},
	} {
		if s.served {
			names = append(names, s.name)
		}
	}
	return names
}

// capabilities is what Init says of these abilities.
func (p *Plugin) capabilities(a abilities) *pluginv1.Capabilities {
	return &pluginv1.Capabilities{
		InterceptStream:        a.intercepts(),
		ObserveStream:          a.observe,
		Idempotent:             p.Idempotent,
		Reconfigure:            a.reconfigure,
		Snapshot:               a.snapshot,
		EnhancedAuthentication: a.authenticate,
		Exclusive:              p.Exclusive,
		CompleteInterest:       p.CompleteInterest,
	}
}

// abilities finds out what Hooks can do, and says what to write if it can do
// nothing.
func (p *Plugin) abilities() (abilities, error) {
	if p.Hooks == nil {
		return abilities{}, errors.New("Plugin.Hooks is nil: set it to a value of the type that New returns, such as (*auth)(nil), or, without New, to the plugin itself")
	}
	t := reflect.TypeOf(p.Hooks)
	a := abilitiesOf(t)
	if len(a.services()) == 0 {
		if t.Kind() != reflect.Pointer && len(abilitiesOf(reflect.PointerTo(t)).services()) > 0 {
			return a, fmt.Errorf("Plugin.Hooks is a %s, whose hooks are methods of *%s: give a pointer", t, t)
		}
		return a, fmt.Errorf("Plugin.Hooks is a %s, which has none of the hooks: no ValidateConnection, no Intercept..., no Observe, no Load and Apply", t)
	}
	v := reflect.ValueOf(p.Hooks)
	if p.New == nil && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil() {
		return a, fmt.Errorf("Plugin.Hooks is a nil %s and Plugin.New is nil: one of them has to make the plugin", t)
	}
	return a, nil
}
