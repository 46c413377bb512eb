package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// caller is a plugin that calls the broker as messages tell it: the topic of a
// message names the call, its payload has the arguments, and the reason of the
// refusal is what came of it. "in/CALL" calls from inside of the hook, "out/CALL"
// from outside of it; "later/CALL" does not wait for it, and "result" asks what
// came of that. Items of the sender are asked for by "items".
type caller struct {
	host    *pluginapi.Host
	results chan string // of a later call; room for one
}

func callerPlugin() pluginapi.Plugin {
	return pluginapi.Plugin{
		Name: "caller", Hooks: (*caller)(nil),
		New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
			return &caller{s.Host, make(chan string, 1)}, nil
		},
	}
}

// Interest names what the plugin wants to be asked.
func (*caller) Interest() []pluginapi.Interest {
	return []pluginapi.Interest{
		{Hook: pluginapi.HookPublish, Filters: []string{"in/#", "out/#", "later/#", "echo/#", "items", "result"}},
		{Hook: pluginapi.HookEvent, Events: []pluginapi.EventKind{pluginapi.EventPublished}, Filters: []string{"observed/#"}},
	}
}

// InterceptPublish makes the call.
func (p *caller) InterceptPublish(ctx context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	kind, name, _ := strings.Cut(c.Message.Topic, "/")
	switch kind {
	case "echo": // answers every message, its own too
		_, err := p.host.Publish(ctx, &pluginapi.Message{Topic: c.Message.Topic, Payload: fmt.Append(nil, c.Message.Hops+1), QoS: 1})
		if err != nil && !strings.Contains(err.Error(), "account of each other") {
			return pluginapi.Refuse(pluginapi.QuotaExceeded, err.Error()), nil
		}
		return pluginapi.Pass(), nil
	case "asked":
		return refusal("asked"), nil
	case "items":
		return refusal(text(c.Client.Items)), nil
	case "result":
		select {
		case r := <-p.results:
			return refusal(r), nil
		default:
			return refusal(""), nil
		}
	case "later":
		args := strings.Fields(string(c.Message.Payload))
		go func() { p.results <- p.result(context.Background(), name, args) }()
		return refusal("begun"), nil
	case "out":
		ctx = context.Background()
	}
	return refusal(p.result(ctx, name, strings.Fields(string(c.Message.Payload)))), nil
}

// result makes a call and says what came of it.
func (p *caller) result(ctx context.Context, name string, args []string) string {
	out, err := p.call(ctx, name, args)
	if err != nil {
		for _, known := range []error{pluginapi.ErrScope, pluginapi.ErrNotFound, pluginapi.ErrInvalid, pluginapi.ErrQuota, pluginapi.ErrNoHost} {
			if errors.Is(err, known) {
				return "error " + known.Error() + "|" + err.Error()
			}
		}
		return "error " + err.Error()
	}
	return text(out)
}

func refusal(reason string) pluginapi.Verdict {
	return pluginapi.Refuse(pluginapi.ImplementationSpecificError, reason)
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Observe answers every message that it is told of, its own too.
func (p *caller) Observe(ctx context.Context, events []pluginapi.Event, _ uint64) error {
	var errs []error
	for i := range events {
		e := &events[i]
		_, err := p.host.Publish(e.Context(ctx), &pluginapi.Message{Topic: e.Message.Topic, Payload: fmt.Append(nil, e.Message.Hops+1)})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// call makes the call that a message names.
func (p *caller) call(ctx context.Context, name string, args []string) (any, error) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	version, _ := strconv.ParseUint(arg(2), 10, 64)
	message := &pluginapi.Message{Topic: arg(1), Payload: []byte(arg(2)), QoS: 1}
	h, clients, sessions, retained, shared := p.host, p.host.Clients(), p.host.Sessions(), p.host.Retained(), p.host.Shared()
	switch name {
	case "publish":
		return h.Publish(ctx, &pluginapi.Message{Topic: arg(0), Payload: []byte(arg(1)), QoS: 1})
	case "clients.all":
		return keys(clients.All(ctx), func(s pluginapi.ClientStatus) string { return s.ID })
	case "clients.get":
		s, err := clients.Get(ctx, arg(0))
		return []any{s.ID, s.Protocol, s.PacketsReceived > 0, time.Since(s.Connected) < time.Hour}, err
	case "clients.disconnect":
		return nil, clients.Disconnect(ctx, arg(0), pluginapi.Disconnection{Reason: arg(1), UserProperties: []pluginapi.UserProperty{{Key: "k", Value: "v"}}})
	case "stop":
		return nil, h.StopBroker(ctx, pluginapi.Farewell{
			Reason: arg(0), ServerReference: arg(1), UserProperties: []pluginapi.UserProperty{{Key: "k", Value: "v"}},
		})
	case "clients.reset":
		return nil, clients.ResetStatistics(ctx, arg(0))
	case "clients.received":
		s, err := clients.Get(ctx, arg(0))
		return s.MessagesReceived, err
	case "clients.revalidate":
		return clients.Revalidate(ctx, arg(0))
	case "sessions.all":
		return keys(sessions.All(ctx), func(s pluginapi.SessionStatus) string { return s.ClientID })
	case "sessions.get":
		s, err := sessions.Get(ctx, arg(0))
		return []any{s.ClientID, s.Connected, s.Expiry.Seconds(), s.Pending, len(s.Subscriptions)}, err
	case "sessions.delete":
		return nil, sessions.Delete(ctx, arg(0))
	case "sessions.clear":
		return sessions.ClearQueue(ctx, arg(0))
	case "sessions.items":
		return sessions.UpdateItems(ctx, arg(0), map[string][]byte{arg(1): []byte(arg(2))}, args[3:]...)
	case "server.set":
		return sessions.UpdateItems(ctx, "", map[string][]byte{arg(0): []byte(arg(1))})
	case "server.items":
		s, err := sessions.Get(ctx, "")
		return s.Items, err
	case "sessions.subscribe":
		return codes(sessions.Subscribe(ctx, arg(0), pluginapi.Subscription{Filter: arg(1), QoS: 1}))
	case "sessions.unsubscribe":
		return codes(sessions.Unsubscribe(ctx, arg(0), arg(1)))
	case "sessions.enqueue":
		return sessions.Enqueue(ctx, arg(0), message)
	case "sessions.deliver":
		return sessions.Deliver(ctx, arg(0), message)
	case "retained.all":
		return keys(retained.All(ctx, arg(0)), func(m *pluginapi.Message) string { return m.Topic })
	case "retained.get":
		m, err := retained.Get(ctx, arg(0))
		if err != nil {
			return nil, err
		}
		return string(m.Payload), nil
	case "retained.put":
		revision, err := retained.Put(ctx, &pluginapi.Message{Topic: arg(0), Payload: []byte(arg(1))})
		return revision > 0, err
	case "retained.delete":
		return retained.Delete(ctx, arg(0))
	case "retained.clear":
		return retained.Clear(ctx)
	case "shared.get":
		value, version, err := shared.Get(ctx, arg(0))
		return []any{string(value), version}, err
	case "shared.put":
		return shared.Put(ctx, arg(0), []byte(arg(1)))
	case "shared.putif":
		written, is, err := shared.PutIf(ctx, arg(0), []byte(arg(1)), version)
		return []any{written, is}, err
	case "shared.delete":
		return nil, shared.Delete(ctx, arg(0))
	case "shared.deleteif":
		deleted, is, err := shared.DeleteIf(ctx, arg(0), version)
		return []any{deleted, is}, err
	case "interest": // the whole new interest: what it has, and messages to one more topic
		own := append(p.Interest(), pluginapi.Interest{Hook: pluginapi.HookPublish, Filters: args})
		return nil, h.SetInterest(ctx, own)
	case "flood":
		return nil, flood(p.host)
	case "die": // in the middle of a call that nobody answers
		go func() { _, _ = sessions.Deliver(ctx, arg(0), message) }()
		for {
			if s, err := sessions.Get(ctx, arg(0)); err != nil || s.Pending > 0 {
				os.Exit(3)
			}
		}
	default:
		return nil, fmt.Errorf("no call %q", name)
	}
}

// keys collects what a sequence yields.
func keys[T any](all iter.Seq2[T, error], key func(T) string) ([]string, error) {
	var out []string
	for entry, err := range all {
		if err != nil {
			return out, err
		}
		out = append(out, key(entry))
	}
	return out, nil
}

// codes writes reason codes as numbers.
func codes(list []pluginapi.ReasonCode, err error) ([]int, error) {
	out := make([]int, len(list))
	for i, c := range list {
		out[i] = int(c)
	}
	return slices.Clip(out), err
}

// flood calls the broker as fast as it can for as long as the process lives.
func flood(h *pluginapi.Host) error {
	for range 200 {
		go func() {
			for {
				_, _ = h.Publish(context.Background(), &pluginapi.Message{Topic: "flood", Payload: make([]byte, 1000)})
				_ = h.Clients().Disconnect(context.Background(), "nobody", pluginapi.Disconnection{})
			}
		}()
	}
	return nil
}
