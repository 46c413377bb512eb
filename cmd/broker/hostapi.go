package main

import (
	"context"
	"errors"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

// hostAPI is the broker as plugins may call it. The two packages do not know
// each other; their types for the same things are the same by field.
func hostAPI(b *broker.Broker, stop hostStopper) *pluginhost.ServerAPI {
	sessions := hostSessions{b.Sessions()}
	return &pluginhost.ServerAPI{
		Publisher:     hostPublisher{b},
		Clients:       hostClients{b.Clients()},
		Grants:        hostGrants{b},
		Sessions:      sessions,
		Subscriptions: b.Sessions(),
		Mailbox:       sessions,
		Retained:      b.Retained(),
		RetainedEdits: b.Retained(),
		Shared:        b.Shared(),
		SharedEdits:   b.Shared(),
		Stopper:       stop,
		NotFound:      broker.ErrUnknownClient,
		Invalid:       broker.ErrInvalid,
		Quota:         broker.ErrQuota,
		Unavailable:   broker.ErrUnwritten,
	}
}

// hostStopper has room for the first farewell.
type hostStopper chan broker.Farewell

// Stop implements pluginhost.Stopper.
func (s hostStopper) Stop(f pluginhost.Farewell) {
	select {
	case s <- broker.Farewell(f):
	default:
	}
}

type hostPublisher struct{ b *broker.Broker }

// Publish implements pluginhost.Publisher.
func (p hostPublisher) Publish(ctx context.Context, m *mqtt.Message) (pluginhost.Published, error) {
	out, err := p.b.Publish(ctx, m)
	var refusal *broker.Refusal
	if errors.As(err, &refusal) {
		return pluginhost.Published{Code: refusal.Code, Reason: refusal.Error()}, nil
	}
	return pluginhost.Published{Receivers: out.Receivers, Later: out.Later}, err
}

type hostClients struct{ broker.Clients }

// List implements pluginhost.Clients.
func (c hostClients) List(after string, limit int) []pluginhost.ClientStatus {
	list := c.Clients.List(after, limit)
	out := make([]pluginhost.ClientStatus, len(list))
	for i := range list {
		out[i] = pluginhost.ClientStatus(list[i])
	}
	return out
}

// Get implements pluginhost.Clients.
func (c hostClients) Get(id string) (pluginhost.ClientStatus, bool) {
	s, ok := c.Clients.Get(id)
	return pluginhost.ClientStatus(s), ok
}

// Disconnect implements pluginhost.Clients.
func (c hostClients) Disconnect(id string, d pluginhost.Disconnection) error {
	return c.Clients.Disconnect(id, broker.Disconnection(d))
}

type hostGrants struct{ b *broker.Broker }

// Revalidate implements pluginhost.Grants.
func (g hostGrants) Revalidate(ctx context.Context, id string) (ended []string, err error) {
	before, _ := g.b.Sessions().Get(id)
	if err := g.b.Clients().Revalidate(ctx, id); err != nil {
		return nil, err
	}
	after, _ := g.b.Sessions().Get(id)
	for _, s := range before.Subscriptions {
		if !slices.ContainsFunc(after.Subscriptions, func(o mqtt.Subscription) bool { return o.Filter == s.Filter }) {
			ended = append(ended, s.Filter)
		}
	}
	return ended, nil
}

type hostSessions struct{ broker.Sessions }

// List implements pluginhost.Sessions.
func (s hostSessions) List(after string, limit int) []pluginhost.SessionStatus {
	list := s.Sessions.List(after, limit)
	out := make([]pluginhost.SessionStatus, len(list))
	for i := range list {
		out[i] = pluginhost.SessionStatus(list[i])
	}
	return out
}

// Get implements pluginhost.Sessions.
func (s hostSessions) Get(id string) (pluginhost.SessionStatus, bool) {
	status, ok := s.Sessions.Get(id)
	return pluginhost.SessionStatus(status), ok
}

// Enqueue implements pluginhost.Mailbox.
func (s hostSessions) Enqueue(ctx context.Context, id string, m *mqtt.Message) (pluginhost.Enqueued, error) {
	e, err := s.Sessions.Enqueue(ctx, id, m)
	return pluginhost.Enqueued(e), err
}

// Deliver implements pluginhost.Mailbox.
func (s hostSessions) Deliver(ctx context.Context, id string, m *mqtt.Message) (pluginhost.Enqueued, error) {
	e, err := s.Sessions.Deliver(ctx, id, m)
	return pluginhost.Enqueued(e), err
}
