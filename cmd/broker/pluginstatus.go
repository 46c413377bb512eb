package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// Plugins implements admin.Source.
func (s *server) Plugins() []*adminv1.Plugin {
	list := s.host.Plugins()
	out := make([]*adminv1.Plugin, len(list))
	for i := range list {
		out[i] = pluginOf(&list[i])
	}
	return out
}

// Plugin implements admin.Source.
func (s *server) Plugin(name string) (*adminv1.Plugin, bool) {
	st, ok := s.host.Plugin(name)
	if !ok {
		return nil, false
	}
	p := pluginOf(&st)
	p.Stderr = st.Output
	p.Traffic = trafficOf(&st.Traffic)
	p.Store = s.storeStats(name)
	for _, c := range st.Calls {
		p.Hooks = append(p.Hooks, countersOf(&st, &c))
	}
	for i := range st.Latencies {
		p.Latencies = append(p.Latencies, latencyOf(&st.Latencies[i]))
	}
	return p, true
}

// statsTimeout bounds how long a store may take to tell its numbers.
const statsTimeout = time.Second

// storeStats asks a store; nil if there is nothing to tell.
func (s *server) storeStats(name string) *adminv1.StoreStats {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	st, err := s.host.StoreStats(ctx, name)
	if err != nil {
		s.log.Warn("store does not tell its numbers", slog.String("plugin", name), slog.Any("error", err))
	}
	if st == nil {
		return nil
	}
	return &adminv1.StoreStats{Messages: st.Messages, Bytes: st.Bytes, Revision: st.Revision, Details: st.Details}
}

func trafficOf(t *pluginhost.Traffic) *adminv1.PluginTraffic {
	return &adminv1.PluginTraffic{
		Streams: t.Streams, Frames: t.Frames, Calls: t.Items, LateAnswers: t.Late, IllegalAnswers: t.ProtocolErrors,
		QueuedBytes: count(t.QueuedBytes), QueuedBytesLimit: pluginhost.MaxQueuedBytes,
		FramesAway: count(t.FramesAway), FramesAwayLimit: pluginhost.MaxFramesAway,
		Events: t.Events, EventsLost: t.EventsLost,
	}
}

func pluginOf(st *pluginhost.Status) *adminv1.Plugin {
	p := &adminv1.Plugin{
		Name: st.Name, Version: st.Version, State: states[st.State], Pid: int64(st.PID), Services: st.Services,
		Restarts: st.Restarts, SinceUnixNanos: unixNanos(st.Since), Socket: st.Socket, Path: st.Path,
		Required: st.Required, Health: st.Health, Order: int32(st.Order), //nolint:gosec // a small number
	}
	p.Swaps, p.Replacing, p.LeavingPid, p.LeavingVersion = st.Swaps, st.Replacing, int64(st.LeavingPID), st.LeavingVersion
	p.StandbyPid, p.StandbyVersion, p.ProvenAtUnixNanos = int64(st.StandbyPID), st.StandbyVersion, unixNanos(st.ProvenAt)
	p.RejectedVersion = st.RejectedVersion
	p.Attached = st.Attached
	if f := st.SwapFailure; f != nil {
		p.SwapFailure, p.SwapFailureUnixNanos = f.Story(), unixNanos(f.Time)
	}
	if n := len(st.Failures); n > 0 {
		last := st.Failures[n-1]
		p.LastFailure, p.LastFailureUnixNanos = last.Story(), unixNanos(last.Time)
	}
	return p
}

func unixNanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

var states = map[pluginhost.State]adminv1.PluginState{
	pluginhost.Discovered: adminv1.PluginState_PLUGIN_STATE_DISCOVERED,
	pluginhost.Verified:   adminv1.PluginState_PLUGIN_STATE_VERIFIED,
	pluginhost.Starting:   adminv1.PluginState_PLUGIN_STATE_STARTING,
	pluginhost.Ready:      adminv1.PluginState_PLUGIN_STATE_READY,
	pluginhost.Degraded:   adminv1.PluginState_PLUGIN_STATE_DEGRADED,
	pluginhost.Draining:   adminv1.PluginState_PLUGIN_STATE_DRAINING,
	pluginhost.Stopped:    adminv1.PluginState_PLUGIN_STATE_STOPPED,
	pluginhost.Backoff:    adminv1.PluginState_PLUGIN_STATE_BACKOFF,
	pluginhost.Failed:     adminv1.PluginState_PLUGIN_STATE_FAILED,
}

func countersOf(st *pluginhost.Status, c *hook.PointCount) *adminv1.HookCounters {
	policy, def := st.Interceptor.OnError, hook.OnErrorHold
	if c.Point == hook.PointConnect {
		policy, def = st.Validator.OnError, hook.OnErrorRefuse
	}
	if policy == hook.OnErrorDefault {
		policy = def
	}
	h := &adminv1.HookCounters{
		Hook: c.Point.String(), Decided: c.Decided, Failed: c.Failed, Timeouts: c.Timeouts, OnError: policy.String(),
		Policy: make(map[string]uint64), Violations: c.Violations, Running: c.Running,
		Breaker: c.Breaker.String(), BreakerOpened: c.Opened, BreakerRejected: c.Rejected, Kept: c.Kept,
	}
	for _, p := range []struct {
		name string
		n    uint64
	}{{"hold", c.Held}, {"refuse", c.Refused}, {"pass", c.Passed}, {"disconnect", c.Cut}} {
		if p.n > 0 {
			h.Policy[p.name] = p.n
		}
	}
	return h
}
