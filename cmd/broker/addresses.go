package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// addresses are the open listeners of a server.
type addresses struct {
	log    *slog.Logger
	broker *broker.Broker
	failed chan error // holds one: why a listener ended that should not

	mu        sync.Mutex // guards the fields below
	open      []*address // in the order of the configuration
	closed    bool
	inherited inherited
}

// address is one open listener.
type address struct {
	config listenerConfig
	l      listener.Listener
	certs  *certificate.Store // nil without TLS
	stop   context.CancelFunc // of what goes on for it; nil before
	goes   sync.WaitGroup
}

func newAddresses(log *slog.Logger, b *broker.Broker, in inherited) *addresses {
	return &addresses{log: log, broker: b, failed: make(chan error, 1), inherited: in}
}

// prepare opens a listener, which accepts nothing yet.
func (a *addresses) prepare(ctx context.Context, c *listenerConfig) (*address, error) {
	out := &address{config: *c}
	o := c.socketOptions(a.log)
	if c.TLS != nil {
		var err error
		if out.certs, err = certificate.Open(c.certificateOptions(a.log)); err != nil {
			return nil, fmt.Errorf("listener %s: %w", c.name(), err)
		}
		o.TLS = out.certs.Config()
	}
	if c.Systemd != "" {
		var err error
		if o.Inherited, err = a.inherited.take(c.Systemd); err != nil {
			return nil, fmt.Errorf("listener %s: %w", c.name(), err)
		}
	}
	var err error
	out.l, err = listener.Open(ctx, c.URL, o)
	return out, err
}

// openAll opens all listeners, or none.
func (a *addresses) openAll(ctx context.Context, list []listenerConfig) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range list {
		one, err := a.prepare(ctx, &list[i])
		if err != nil {
			for _, other := range a.open {
				_ = other.l.Close()
			}
			a.open = nil
			return err
		}
		a.open = append(a.open, one)
	}
	for _, one := range a.open {
		a.serve(one)
	}
	return nil
}

// serve lets a listener accept and follows its certificates, until close.
func (a *addresses) serve(one *address) {
	ctx, cancel := context.WithCancel(context.Background())
	one.stop = cancel
	a.broker.SetListener(one.config.name(), one.config.brokerOptions())
	one.goes.Go(func() {
		err := a.broker.Serve(ctx, one.l)
		if ctx.Err() == nil && !errors.Is(err, broker.ErrClosed) {
			select {
			case a.failed <- err:
			default:
			}
		}
	})
	if one.certs != nil {
		one.goes.Go(func() {
			if err := one.certs.Watch(ctx); err != nil {
				a.log.Warn("changes of certificates are not noticed, but on SIGHUP", "listener", one.config.name(), "error", err)
			}
		})
	}
}

// close ends a listener. Its connections stay.
func (one *address) close() {
	if one.stop != nil {
		one.stop()
	}
	_ = one.l.Close()
	one.goes.Wait()
}

func (a *addresses) closeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.open {
		one.close()
	}
	a.open, a.closed = nil, true
}

// urls are the addresses as clients write them.
func (a *addresses) urls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	urls := make([]string, len(a.open))
	for i, one := range a.open {
		urls[i] = one.l.URL()
	}
	return urls
}

// ListListeners implements admin.Listeners.
func (a *addresses) ListListeners() []*adminv1.Listener {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*adminv1.Listener
	for _, one := range a.open {
		c := &one.config
		l := &adminv1.Listener{
			Name: c.name(), Url: one.l.URL(), ConfiguredUrl: c.URL,
			Connections: count(a.broker.ListenerConnections(c.name())), ConnectionsLimit: count(c.Connections),
			Tls: c.TLS != nil, Validators: c.Validators, Anonymous: c.Validators != nil && len(c.Validators) == 0, Mountpoint: c.Mountpoint,
		}
		if c.TLS != nil {
			l.ClientCertificates = cmp.Or(c.TLS.ClientCertificates, "none")
		}
		for _, v := range c.Versions {
			l.Versions = append(l.Versions, mqtt.Version(v).String())
		}
		out = append(out, l)
	}
	return out
}

// change is a new set of listeners, of which everything that can go wrong has
// been tried. Either apply or discard has to follow.
type change struct {
	a     *addresses
	list  []listenerConfig
	fresh map[string]*address // by name: opened for the change
}

// plan tries a new set of listeners. An error changes nothing.
func (a *addresses) plan(ctx context.Context, list []listenerConfig) (*change, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, broker.ErrClosed
	}
	c := &change{a: a, list: list, fresh: make(map[string]*address)}
	for i := range list {
		if err := c.try(ctx, &list[i]); err != nil {
			c.discard()
			return nil, err
		}
	}
	return c, nil
}

// try opens a new listener. One that takes the place of another at the same
// address can only be opened when that has gone: its certificates are tried.
func (c *change) try(ctx context.Context, l *listenerConfig) error {
	old := c.a.named(l.name())
	taken := slices.ContainsFunc(c.a.open, func(o *address) bool { return o.config.sameSocket(l) })
	if old != nil && old.config.sameListener(l) || taken {
		if l.TLS == nil {
			return nil
		}
		if err := certificate.Check(l.certificateOptions(c.a.log)); err != nil {
			return fmt.Errorf("listener %s: %w", l.name(), err)
		}
		return nil
	}
	one, err := c.a.prepare(ctx, l)
	if err == nil {
		c.fresh[l.name()] = one
	}
	return err
}

func (c *change) discard() {
	for _, one := range c.fresh {
		_ = one.l.Close()
	}
}

// apply puts the new set in the place of the old one. Connections stay, whatever
// becomes of their listener.
func (c *change) apply(ctx context.Context) error {
	a := c.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		c.discard()
		return broker.ErrClosed
	}
	var errs []error
	next := make([]*address, 0, len(c.list))
	for i := range c.list {
		l := &c.list[i]
		if old := a.named(l.name()); old != nil && old.config.sameListener(l) {
			errs = append(errs, a.adjust(old, l))
			next = append(next, old)
		}
	}
	for _, old := range a.open {
		if !slices.Contains(next, old) {
			old.close()
			a.log.Info("listener closed", "listener", old.config.name(), "url", old.l.URL())
		}
	}
	for i := range c.list {
		l := &c.list[i]
		if slices.ContainsFunc(next, func(o *address) bool { return o.config.name() == l.name() }) {
			continue
		}
		one := c.fresh[l.name()]
		if one == nil {
			var err error
			if one, err = a.prepare(ctx, l); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		a.serve(one)
		next = append(next, one)
		a.log.Info("listener opened", "listener", l.name(), "url", one.l.URL())
	}
	a.open = next
	return errors.Join(errs...)
}

// adjust changes what can be changed of an open listener.
func (a *addresses) adjust(one *address, l *listenerConfig) error {
	before := one.config
	one.config = *l
	a.broker.SetListener(l.name(), l.brokerOptions())
	switch {
	case one.certs == nil:
		return nil
	case reflect.DeepEqual(before.TLS, l.TLS):
		_, err := one.certs.Reload()
		return err
	default:
		return one.certs.Configure(l.certificateOptions(a.log))
	}
}

func (a *addresses) named(name string) *address {
	for _, one := range a.open {
		if one.config.name() == name {
			return one
		}
	}
	return nil
}

// sameListener reports whether l can be had without opening the address anew.
func (c *listenerConfig) sameListener(l *listenerConfig) bool {
	return c.sameSocket(l) && c.URL == l.URL && c.Backlog == l.Backlog && c.Handshakes == l.Handshakes &&
		c.HandshakeTimeout == l.HandshakeTimeout && reflect.DeepEqual(c.HalfOpenTimeout, l.HalfOpenTimeout) && reflect.DeepEqual(c.WebSocket, l.WebSocket) &&
		reflect.DeepEqual(c.ProxyProtocol, l.ProxyProtocol)
}

// sameSocket reports whether both are at the same address.
func (c *listenerConfig) sameSocket(l *listenerConfig) bool {
	x, errX := listener.Parse(c.URL)
	y, errY := listener.Parse(l.URL)
	if errX != nil || errY != nil || c.Systemd != l.Systemd {
		return false
	}
	return c.Systemd != "" || x.Host == y.Host && (x.Scheme == "unix") == (y.Scheme == "unix") && (x.Scheme != "unix" || x.Path == y.Path) &&
		(x.Port() != "0" || c.name() == l.name())
}
