package metrics

import (
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
)

// Broker is what is read of the broker; [broker.Broker] is one.
type Broker interface {
	Stats() broker.Stats
	Backlog() broker.Backlog
}

var (
	buildInfo = gauge("build_info", "Always 1; the labels tell what runs.", "version", "goversion")

	connections         = gauge("connections", "Open connections, those that have not sent a CONNECT included.")
	connectionsIdle     = gauge("connections_idle", "Connections that have said nothing for some seconds and hold no read buffer.")
	connectionsAccepted = counter("connections_accepted_total", "Connections that a listener accepted, whatever became of them.")
	connectionsRefused  = counter("connections_refused_total", "Connections that did not become a client's, by cause.", "cause")
	authRunning         = gauge("authentications_running", "Clients about which the validators are being asked.")
	authWaiting         = gauge("authentications_waiting", "Clients that wait until the validators are asked about them.")
	clients             = gauge("clients", "Connected clients.")
	clientsPeak         = gauge("clients_peak", "Most clients that were connected at once since the start.")
	clientsConnected    = counter("clients_connected_total", "Clients that connected.")
	clientsDisconnected = counter("clients_disconnected_total", "Clients whose connection ended, by who ended it: client, network, takeover, server.", "by")

	sessions         = gauge("sessions", "Sessions, with and without a connection.")
	sessionsKept     = gauge("sessions_kept", "Sessions that are on the disk too, and outlive the broker.")
	sessionsExpired  = counter("sessions_expired_total", "Sessions that ended because their time was up.")
	sessionsOverflow = counter("sessions_overflowed_total", "Sessions that ended because their queue was full.")
	subscriptions    = gauge("subscriptions", "Subscriptions, by kind: plain or shared.", "kind")
	shareGroups      = gauge("share_groups", "Groups of shared subscriptions, each with its own filter.")

	messages       = counter("messages_total", "PUBLISH packets, by direction, QoS of the packet and version of MQTT.", "direction", "qos", "version")
	payloadBytes   = counter("payload_bytes_total", "Bytes of the payloads of PUBLISH packets.", "direction", "qos", "version")
	packets        = counter("packets_total", "Packets of all types.", "direction")
	networkBytes   = counter("network_bytes_total", "Bytes on connections, without those of TLS and WebSocket frames.", "direction")
	messageDropped = counter("messages_dropped_total", "Messages that did not get through, or not to one receiver, by cause.", "cause")

	heldBack = counter("publishers_held_back_total", "How often a publisher was held back for its rate.")

	queueMessages = gauge("queue_messages", "Messages that wait in sessions to be sent.")
	queueBytes    = gauge("queue_bytes", "Bytes of the messages that wait in sessions.")
	queueSessions = gauge("queue_sessions", "Sessions in which at least so many messages wait.", "at_least")
	inFlight      = gauge("in_flight_messages", "Messages of QoS 1 and 2 that were sent and are not acknowledged to the end.")

	retainedMessages = gauge("retained_messages", "Retained messages.")
	retainedBytes    = gauge("retained_bytes", "Bytes of retained messages: topics, payloads and properties.")
	retainedPending  = gauge("retained_pending", "Changes of retained messages that their store does not have yet.")
)

func (c *collector) collectBroker(ch chan<- prometheus.Metric) {
	s := c.from.Broker.Stats()
	send(ch, buildInfo, 1, c.from.Version, runtime.Version())
	send(ch, connections, s.Connections)
	send(ch, connectionsIdle, s.Idle)
	send(ch, connectionsAccepted, s.Accepted)
	for _, cause := range broker.RefusalCauses() {
		send(ch, connectionsRefused, s.Refusals[cause], string(cause))
	}
	send(ch, authRunning, s.Asking)
	send(ch, authWaiting, s.Authenticating)
	send(ch, clients, s.Clients)
	send(ch, clientsPeak, s.MostClients)
	send(ch, clientsConnected, s.Connects)
	for by, n := range s.Disconnects {
		send(ch, clientsDisconnected, n, by)
	}
	send(ch, sessions, s.Sessions)
	send(ch, sessionsExpired, s.ExpiredSessions)
	send(ch, sessionsOverflow, s.OverflowedSessions)
	send(ch, subscriptions, s.Subscriptions-s.SharedSubscriptions, "plain")
	send(ch, subscriptions, s.SharedSubscriptions, "shared")
	send(ch, shareGroups, s.ShareGroups)
	for _, f := range s.Flows {
		qos, version := strconv.Itoa(int(f.QoS)), f.Version.String()
		send(ch, messages, f.MessagesIn, "received", qos, version)
		send(ch, messages, f.MessagesOut, "sent", qos, version)
		send(ch, payloadBytes, f.PayloadIn, "received", qos, version)
		send(ch, payloadBytes, f.PayloadOut, "sent", qos, version)
	}
	send(ch, packets, s.PacketsIn, "received")
	send(ch, packets, s.PacketsOut, "sent")
	send(ch, networkBytes, s.BytesIn, "received")
	send(ch, networkBytes, s.BytesOut, "sent")
	for _, cause := range broker.Causes() {
		send(ch, messageDropped, s.Drops[cause], string(cause))
	}
	send(ch, heldBack, s.HeldBack)
	send(ch, retainedMessages, s.Retained)
	send(ch, retainedBytes, s.RetainedBytes)
	pending := uint64(max(0, c.from.Retained.Pending())) //nolint:gosec // not negative
	if c.from.Store() == OnDisk && c.from.Sessions != nil {
		pending = max(pending, c.from.Sessions.Stats().Retained.Pending)
	}
	send(ch, retainedPending, pending)
}

func (c *collector) collectBacklog(ch chan<- prometheus.Metric) {
	b := c.from.Broker.Backlog()
	send(ch, queueMessages, b.Messages)
	send(ch, queueBytes, b.Bytes)
	send(ch, inFlight, b.InFlight)
	send(ch, sessionsKept, b.Kept)
	for i, n := range b.Sessions {
		send(ch, queueSessions, n, strconv.Itoa(broker.BacklogBounds[i]))
	}
}
