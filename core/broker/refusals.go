package broker

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
)

// RefusalCause is why a connection did not become a client's: the causes by which
// [Stats] counts. Their texts are for metrics and logs.
type RefusalCause string

// The causes, in the order in which they can occur.
const (
	RefusedDescriptors         RefusalCause = "file_descriptors"      // the process has none left
	RefusedPaused              RefusalCause = "paused"                // by the server API, or the broker ends
	RefusedBanned              RefusalCause = "banned"                // its address, client identifier or user name
	RefusedConnections         RefusalCause = "connections"           // Limits.Connections
	RefusedListenerConnections RefusalCause = "listener_connections"  // ListenerOptions.Connections
	RefusedAddressConnections  RefusalCause = "address_connections"   // Limits.AddressConnections
	RefusedListenerRate        RefusalCause = "listener_connect_rate" // ListenerOptions.ConnectRate
	RefusedRate                RefusalCause = "connect_rate"          // Limits.ConnectRate
	RefusedAddressRate         RefusalCause = "address_connect_rate"  // Limits.AddressConnectRate
	RefusedHandshake           RefusalCause = "handshake"             // TLS or WebSocket failed
	RefusedTimeout             RefusalCause = "connect_timeout"       // no complete CONNECT in time
	RefusedLeft                RefusalCause = "left"                  // it ended before its CONNECT was complete
	RefusedMalformed           RefusalCause = "malformed"             // no good CONNECT
	RefusedProtocol            RefusalCause = "protocol"              // what the listener or the broker does not offer
	RefusedBusy                RefusalCause = "busy"                  // Limits.Authentications, or a takeover that takes too long
	RefusedNotAdmitted         RefusalCause = "not_admitted"          // by the validators
	RefusedForeign             RefusalCause = "foreign_session"       // the client identifier is another user's
	RefusedFlapping            RefusalCause = "flapping"              // Limits.Flapping
	RefusedSessions            RefusalCause = "sessions"              // Limits.Sessions
)

var refusals = [...]RefusalCause{
	RefusedDescriptors, RefusedPaused, RefusedBanned, RefusedConnections, RefusedListenerConnections,
	RefusedAddressConnections, RefusedListenerRate, RefusedRate, RefusedAddressRate, RefusedHandshake, RefusedTimeout, RefusedLeft,
	RefusedMalformed, RefusedProtocol, RefusedBusy, RefusedNotAdmitted, RefusedForeign, RefusedFlapping, RefusedSessions,
}

// RefusalCauses returns all causes that [Stats] may have in its Refusals.
func RefusalCauses() []RefusalCause { return slices.Clone(refusals[:]) }

// refused counts connections that were refused.
func (s *counters) refused(why RefusalCause, n int) {
	s.refusedConnections.Add(uint64(n))
	s.refusals[slices.Index(refusals[:], why)].Add(uint64(n))
}

// turnedAway counts a connection that is closed before anything was read of it,
// and logs so now and then.
func (b *Broker) turnedAway(why RefusalCause, listener, peer string, err error) {
	b.stats.refused(why, 1)
	b.refusalLog.line(b.log, slog.LevelWarn, "connection turned away", why,
		slog.String("cause", string(why)), slog.String("listener", listener), slog.String("peer", peer), slog.Any("error", err))
}

// refusalLog writes of each cause so many lines at once, then one now and then:
// anybody can make any number of refused connections. The zero value is ready
// for use.
type refusalLog [len(refusals)]admission.Lines

// line writes a line, if it is its turn. A cause has a turn of its own, so that
// a flood of one does not hide another.
func (l *refusalLog) line(log *slog.Logger, level slog.Level, message string, why RefusalCause, attrs ...slog.Attr) {
	if !log.Enabled(context.Background(), level) {
		return
	}
	skipped, ok := l[slices.Index(refusals[:], why)].Turn(time.Now())
	if !ok {
		return
	}
	if skipped > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", skipped))
	}
	log.LogAttrs(context.Background(), level, message, attrs...) //nolint:sloglint // its callers' are constant
}
