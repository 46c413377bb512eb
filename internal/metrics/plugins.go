package metrics

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

// Plugins is what is read of the plugins; [pluginhost.Host] is one.
type Plugins interface {
	Plugins() []pluginhost.Status
	StoreStats(ctx context.Context, name string) (*pluginhost.StoreStats, error)
	CollectMetrics(ctx context.Context, name string) ([]byte, error)
}

var (
	pluginInfo     = gauge("plugin_info", "Always 1; the labels tell which version of a plugin there is.", "plugin", "version", "required")
	pluginServing  = gauge("plugin_serving", "Whether a plugin's hooks are called: 1 if it is ready or degraded, else 0.", "plugin")
	pluginState    = gauge("plugin_state", "1 for the state in which a plugin is, 0 for all others.", "plugin", "state")
	pluginRestarts = counter("plugin_restarts_total", "Starts of a plugin after the first.", "plugin")
	pluginSwaps    = counter("plugin_swaps_total", "How often one instance of a plugin took over from another that ran.", "plugin")

	callSeconds = histogram("plugin_call_duration_seconds", "How long calls of a hook took, by outcome.", "plugin", "hook", "outcome")

	callsRunning   = gauge("plugin_calls_running", "Calls of a hook that run now.", "plugin", "hook")
	callsFailed    = counter("plugin_calls_failed_total", "Calls that a hook could not decide, timeouts included.", "plugin", "hook")
	callsTimeout   = counter("plugin_calls_timeout_total", "Calls that a hook did not answer in time.", "plugin", "hook")
	callsKept      = counter("plugin_decisions_reused_total", "Calls that a decision answered that was kept from before.", "plugin", "hook")
	violations     = counter("plugin_violations_total", "Calls with a change that the plugin may not make; they were refused.", "plugin", "hook")
	policyApplied  = counter("plugin_policy_total", "Failed calls by what the policy did: refuse, pass, disconnect; and those that were held first.", "plugin", "hook", "action")
	breakerState   = gauge("plugin_breaker_state", "1 for the state of a hook's circuit breaker, 0 for all others.", "plugin", "hook", "state")
	breakerOpened  = counter("plugin_breaker_opened_total", "How often a hook's circuit breaker has opened.", "plugin", "hook")
	breakerRefused = counter("plugin_breaker_rejected_total", "Calls that were not made because the circuit breaker was open.", "plugin", "hook")

	streamFrames  = counter("plugin_stream_frames_total", "Frames that were sent on the stream of interceptor calls.", "plugin")
	streamCalls   = counter("plugin_stream_calls_total", "Calls in those frames.", "plugin")
	streamQueued  = gauge("plugin_stream_queued_bytes", "Bytes that wait to be sent on the stream.", "plugin")
	streamAway    = gauge("plugin_stream_frames_away", "Frames whose answers are waited for.", "plugin")
	answersLate   = counter("plugin_answers_late_total", "Answers that came when nobody waited any more.", "plugin")
	answersBad    = counter("plugin_answers_illegal_total", "Illegal answers, to calls of any kind.", "plugin")
	eventsTold    = counter("plugin_events_total", "Events that a plugin was told as an observer.", "plugin")
	eventsLost    = counter("plugin_events_lost_total", "Events that an observer was not, or perhaps not, told.", "plugin")
	storeMessages = gauge("retained_store_messages", "Retained messages that a store has, as it says.", "plugin")
	storeBytes    = gauge("retained_store_bytes", "Bytes that a store occupies, as it says.", "plugin")
	storeRevision = gauge("retained_store_revision", "The highest revision that a store has.", "plugin")
)

func (c *collector) collectPlugins(ch chan<- prometheus.Metric, all []pluginhost.Status) {
	for i := range all {
		p := &all[i]
		send(ch, pluginInfo, 1, p.Name, p.Version, strconv.FormatBool(p.Required))
		send(ch, pluginServing, flag(p.State == pluginhost.Ready || p.State == pluginhost.Degraded), p.Name)
		for s := pluginhost.Discovered; s <= pluginhost.Failed; s++ {
			send(ch, pluginState, flag(p.State == s), p.Name, s.String())
		}
		send(ch, pluginRestarts, p.Restarts, p.Name)
		send(ch, pluginSwaps, p.Swaps, p.Name)
		t := &p.Traffic
		send(ch, streamFrames, t.Frames, p.Name)
		send(ch, streamCalls, t.Items, p.Name)
		send(ch, streamQueued, t.QueuedBytes, p.Name)
		send(ch, streamAway, t.FramesAway, p.Name)
		send(ch, answersLate, t.Late, p.Name)
		send(ch, answersBad, t.ProtocolErrors, p.Name)
		send(ch, eventsTold, t.Events, p.Name)
		send(ch, eventsLost, t.EventsLost, p.Name)
		collectCalls(ch, p)
		collectLatencies(ch, p)
	}
}

func collectCalls(ch chan<- prometheus.Metric, p *pluginhost.Status) {
	for i := range p.Calls {
		n := &p.Calls[i]
		at := n.Point.String()
		send(ch, callsRunning, n.Running, p.Name, at)
		send(ch, callsFailed, n.Failed, p.Name, at)
		send(ch, callsTimeout, n.Timeouts, p.Name, at)
		send(ch, callsKept, n.Kept, p.Name, at)
		send(ch, violations, n.Violations, p.Name, at)
		send(ch, policyApplied, n.Refused, p.Name, at, "refuse")
		send(ch, policyApplied, n.Passed, p.Name, at, "pass")
		send(ch, policyApplied, n.Cut, p.Name, at, "disconnect")
		send(ch, policyApplied, n.Held, p.Name, at, "hold")
		for s := hook.BreakerClosed; s <= hook.BreakerHalfOpen; s++ {
			send(ch, breakerState, flag(n.Breaker == s), p.Name, at, s.String())
		}
		send(ch, breakerOpened, n.Opened, p.Name, at)
		send(ch, breakerRefused, n.Rejected, p.Name, at)
	}
}

// bounds are those of all latencies.
var bounds = hook.LatencyBounds()

func collectLatencies(ch chan<- prometheus.Metric, p *pluginhost.Status) {
	for i := range p.Latencies {
		l := &p.Latencies[i]
		ch <- prometheus.MustNewConstHistogram(callSeconds.desc, l.Count, l.Sum.Seconds(), cumulative(bounds, l.Buckets),
			p.Name, l.Point.String(), l.Outcome.String())
	}
}

// storeTimeout bounds what a scrape waits for the store.
const storeTimeout = time.Second

// collectStore asks the store in use for its numbers.
func (c *collector) collectStore(ctx context.Context, ch chan<- prometheus.Metric) {
	name := c.from.Store()
	switch {
	case name == "":
		return
	case name == OnDisk && c.from.Sessions != nil:
		s := c.from.Sessions.Stats().Retained
		send(ch, storeBytes, s.Bytes, name)
		send(ch, storeRevision, s.Revision, name)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	s, err := c.from.Plugins.StoreStats(ctx, name)
	if err != nil || s == nil {
		return // what it does not tell is absent; its state is told above
	}
	send(ch, storeMessages, s.Messages, name)
	send(ch, storeBytes, s.Bytes, name)
	send(ch, storeRevision, s.Revision, name)
}
