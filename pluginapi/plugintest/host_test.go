package plugintest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
)

// helper is a plugin that does what its test wants when it is asked.
type helper struct {
	host *pluginapi.Host
	do   func(context.Context, *pluginapi.Host) error
}

func (h *helper) InterceptPublish(ctx context.Context, _ *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	return pluginapi.Pass(), h.do(ctx, h.host)
}

// run has a plugin do something inside of a hook.
func run(t *testing.T, do func(context.Context, *pluginapi.Host) error, opts ...plugintest.Option) {
	t.Helper()
	p := plugintest.Start(t, pluginapi.Plugin{
		Name: "helper", Hooks: (*helper)(nil),
		New: func(_ context.Context, s *pluginapi.Setup) (any, error) { return &helper{s.Host, do}, nil },
	}, opts...)
	c := pluginapi.Client{ConnectionID: 7, ID: "c"}
	if _, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Client: &c, Message: &pluginapi.Message{Topic: "t"}}); err != nil {
		t.Error(err)
	}
}

// A plugin under test calls a broker that is not there but in the test.
func TestHost(t *testing.T) {
	h := plugintest.NewHost(t)
	h.AddClient(pluginapi.Client{ConnectionID: 7, ID: "c", Items: map[string][]byte{"a": []byte("1")}})
	h.AddClient(pluginapi.Client{ConnectionID: 8, ID: "b"})
	run(t, func(ctx context.Context, host *pluginapi.Host) error {
		out, err := host.Publish(ctx, &pluginapi.Message{Topic: "news", Payload: []byte("x")})
		if !out.Later {
			err = errors.Join(err, errors.New("the broker was not told of the call in hand"))
		}
		if out, outErr := host.Publish(context.Background(), &pluginapi.Message{Topic: "more"}); out.Later || outErr != nil {
			err = errors.Join(err, fmt.Errorf("got %+v, %w", out, outErr))
		}
		var ids []string
		for s, listErr := range host.Clients().All(ctx) {
			ids, err = append(ids, s.ID), errors.Join(err, listErr)
		}
		if strings.Join(ids, " ") != "b c" {
			err = errors.Join(err, fmt.Errorf("clients %q", ids))
		}
		_, subErr := host.Sessions().Subscribe(ctx, "c", pluginapi.Subscription{Filter: "s/#", QoS: 1})
		_, enqErr := host.Sessions().Enqueue(ctx, "c", &pluginapi.Message{Topic: "direct"})
		items, itemErr := host.Sessions().UpdateItems(ctx, "c", map[string][]byte{"b": []byte("2")}, "a")
		if d := cmp.Diff(map[string][]byte{"b": []byte("2")}, items); d != "" {
			err = errors.Join(err, errors.New(d))
		}
		disErr := host.Clients().Disconnect(ctx, "b", pluginapi.Disconnection{Reason: "out", DiscardWill: true})
		_, putErr := host.Retained().Put(ctx, &pluginapi.Message{Topic: "r/1", Payload: []byte("one")})
		for m, listErr := range host.Retained().All(ctx, "r/#") {
			if err = errors.Join(err, listErr); m.Topic != "r/1" || !m.Retain {
				err = errors.Join(err, fmt.Errorf("retained %+v", m))
			}
		}
		_, v1, sharedErr := host.Shared().PutIf(ctx, "k", []byte("v"), 0)
		if written, is, err2 := host.Shared().PutIf(ctx, "k", nil, v1+5); written || is != v1 {
			err = errors.Join(err, err2, errors.New("compare and set"))
		}
		return errors.Join(err, subErr, enqErr, itemErr, disErr, putErr, sharedErr)
	}, plugintest.WithHost(h))

	if all := h.Published(); len(all) != 2 || all[0].Topic != "news" || string(all[0].Payload) != "x" {
		t.Errorf("published %+v", all)
	}
	if all := h.Enqueued("c"); len(all) != 1 || all[0].Topic != "direct" {
		t.Errorf("enqueued %+v", all)
	}
	if all := h.Subscriptions("c"); len(all) != 1 || all[0].Filter != "s/#" || all[0].QoS != 1 {
		t.Errorf("subscribed %+v", all)
	}
	if d := h.Disconnected("b"); d == nil || d.Reason != "out" || !d.DiscardWill || h.Disconnected("c") != nil {
		t.Errorf("disconnected %+v", d)
	}
}

func TestHostErrors(t *testing.T) {
	h := plugintest.NewHost(t)
	h.Deny("Publish")
	run(t, func(ctx context.Context, host *pluginapi.Host) error {
		if _, err := host.Publish(ctx, &pluginapi.Message{Topic: "t"}); !errors.Is(err, pluginapi.ErrScope) {
			return fmt.Errorf("denied: %w", err)
		}
		if _, err := host.Clients().Get(ctx, "nobody"); !errors.Is(err, pluginapi.ErrNotFound) {
			return fmt.Errorf("unknown: %w", err)
		}
		if _, err := host.Publish(ctx, &pluginapi.Message{Topic: "\xff"}); !errors.Is(err, pluginapi.ErrInvalid) {
			return fmt.Errorf("invalid: %w", err)
		}
		return nil
	}, plugintest.WithHost(h))
}

// Without a broker every call says so, and none panics.
func TestNoHost(t *testing.T) {
	run(t, func(ctx context.Context, h *pluginapi.Host) error {
		if h != nil {
			return errors.New("there is a host")
		}
		m := &pluginapi.Message{Topic: "t"}
		for name, call := range map[string]func() error{
			"publish":    func() error { _, err := h.Publish(ctx, m); return err },
			"clients":    func() error { return last(h.Clients().All(ctx)) },
			"client":     func() error { _, err := h.Clients().Get(ctx, "c"); return err },
			"disconnect": func() error { return h.Clients().Disconnect(ctx, "c", pluginapi.Disconnection{}) },
			"revalidate": func() error { _, err := h.Clients().Revalidate(ctx, "c"); return err },
			"sessions":   func() error { return last(h.Sessions().All(ctx)) },
			"session":    func() error { _, err := h.Sessions().Get(ctx, "c"); return err },
			"delete":     func() error { return h.Sessions().Delete(ctx, "c") },
			"deliver":    func() error { _, err := h.Sessions().Deliver(ctx, "c", m); return err },
			"subscribe":  func() error { _, err := h.Sessions().Subscribe(ctx, "c"); return err },
			"retained":   func() error { return last(h.Retained().All(ctx, "")) },
			"put":        func() error { _, err := h.Retained().Put(ctx, m); return err },
			"clear":      func() error { _, err := h.Retained().Clear(ctx); return err },
			"shared":     func() error { _, _, err := h.Shared().Get(ctx, "k"); return err },
			"share":      func() error { _, err := h.Shared().Put(ctx, "k", nil); return err },
		} {
			if err := call(); !errors.Is(err, pluginapi.ErrNoHost) {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

// last is the error with which a sequence ends.
func last[T any](all func(func(T, error) bool)) (err error) {
	for _, e := range all {
		err = e
	}
	return err
}
