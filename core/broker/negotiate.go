package broker

import (
	"cmp"
	"math"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// negotiate combines the broker's limits with the validators', applies them to
// the connection and tells the client in CONNACK.
func (c *conn) negotiate(id string, p *packet.Connect, adm *hook.Admission, ack *packet.Connack) session.Limits {
	l, v := c.b.limits(), &adm.Limits
	limits := l.with(v)
	c.limits.Store(limits)
	c.pace = c.pace.follow(limits, time.Now())
	packetSize := max(1, least(l.PacketSize, v.MaximumPacketSize))
	c.dec.SetMaxPacketSize(packetSize)
	lim := l.session(limits, v)
	lim.Waiting = c.b.queued.Used()
	c.promised = lim
	ack.MaximumPacketSize = packetSize
	ack.ReceiveMaximum = lim.ReceiveMaximum
	ack.TopicAliasMaximum = lim.AliasMaximum
	if limits.maxQoS < mqtt.ExactlyOnce {
		ack.MaximumQoS, ack.HasMaximumQoS = limits.maxQoS, true
	}
	if p.RequestResponseInfo {
		ack.ResponseInfo = c.b.responseInformation(id, adm.Username)
	}
	ack.User, ack.AuthMethod, ack.AuthData = adm.User, p.AuthMethod, adm.AuthData
	c.keepAlive = c.agreeKeepAlive(p, adm, ack)
	return lim
}

// session returns the limits of a session.
func (l *Limits) session(limits *connLimits, v *hook.Limits) session.Limits {
	return session.Limits{
		QueueMessages: limits.queue, QueueBytes: limits.queueBytes,
		InFlight: l.InFlight, ReceiveMaximum: max(1, least(l.ReceiveMaximum, v.ReceiveMaximum)),
		AliasMaximum:     least(l.TopicAliases, v.TopicAliasMaximum),
		QueueQoS0Offline: l.QueueQoS0Offline, Overflow: l.Overflow,
		Kept: l.kept(v),
	}
}

// kept returns the limits of what need not be in memory.
func (l *Limits) kept(v *hook.Limits) *session.KeptLimits {
	if v.QueueMessages == nil && v.QueueBytes == nil {
		return &l.Kept
	}
	narrow := l.Kept
	narrow.Messages = max(1, least(l.Kept.Messages, v.QueueMessages))
	narrow.Bytes = max(1, least(l.Kept.Bytes, v.QueueBytes))
	return &narrow
}

// with narrows the broker's limits by the validators'.
func (l *Limits) with(v *hook.Limits) *connLimits {
	return &connLimits{
		maxQoS:        least(l.MaxQoS, v.MaximumQoS),
		sessionExpiry: least(l.SessionExpiry, v.SessionExpiry),
		subscriptions: least(l.SubscriptionsPerClient, v.SubscriptionsCount),
		// Zero would mean the default, or no limit at all.
		queue:       max(1, least(l.QueueMessages, v.QueueMessages)),
		queueBytes:  max(1, least(l.QueueBytes, v.QueueBytes)),
		messageRate: slower(l.MessagesPerSecond, v.MessagesPerSecond),
		byteRate:    slower(l.BytesPerSecond, v.BytesPerSecond),
	}
}

// responseInformation is what a client is told that asked for it
// [MQTT-3.1.2-28], "" for nothing.
func (b *Broker) responseInformation(id, user string) string {
	s := strings.NewReplacer("%c", id, "%u", user).Replace(b.force.Load().responseInfo)
	if topic.ValidateName(s) != nil {
		return ""
	}
	return s
}

// agreeKeepAlive bounds the keep-alive of clients that can be told so
// [MQTT-3.1.2-21].
func (c *conn) agreeKeepAlive(p *packet.Connect, adm *hook.Admission, ack *packet.Connack) time.Duration {
	limit := c.b.limits().KeepAlive
	if v := adm.Limits.KeepAlive; v != nil && (limit == 0 || *v < limit) {
		limit = *v
	}
	agreed := p.KeepAlive
	if p.Version == mqtt.V5 {
		if agreed > 0 {
			agreed = max(agreed, c.b.limits().MinKeepAlive)
		}
		if limit > 0 && (agreed == 0 || agreed > limit) {
			agreed = limit
		}
		if agreed != p.KeepAlive {
			ack.ServerKeepAlive, ack.HasServerKeepAlive = agreed, true
		}
	}
	return time.Duration(agreed) * time.Second
}

// sessionExpiry returns how long the session outlives the connection, and tells
// the client if it is less than it asked for.
func (c *conn) sessionExpiry(p *packet.Connect, ack *packet.Connack) uint32 {
	limit := c.limits.Load().sessionExpiry
	if p.Version != mqtt.V5 {
		if p.CleanStart {
			return 0
		}
		return limit
	}
	if p.SessionExpiry > limit {
		ack.SessionExpiry, ack.HasSessionExpiry = limit, true
		return limit
	}
	return p.SessionExpiry
}

// session attaches the protocol state; from now on messages may be written.
func (c *conn) session(p *packet.Connect, inFlight uint16) {
	c.aliases = p.TopicAliasMaximum > 0
	upTo := 0
	if c.client.mountpoint == "" && !c.aliases {
		upTo = cmp.Or(int(p.MaximumPacketSize), math.MaxInt)
	}
	c.client.sess.Attach(session.Attachment{
		Version: p.Version, ReceiveMaximum: p.ReceiveMaximum, AliasMaximum: p.TopicAliasMaximum,
		MaxInFlight: inFlight, PassUpTo: upTo, Wake: c.w.kick,
	})
}

func least[T interface {
	~int | ~uint8 | ~uint16 | ~uint32
}](limit T, narrower *T) T {
	if narrower != nil && *narrower < limit {
		return *narrower
	}
	return limit
}

// slower returns the smaller of two rates; 0 and nil are none.
func slower(rate float64, narrower *float64) float64 {
	if narrower != nil && *narrower > 0 && (rate <= 0 || *narrower < rate) {
		return *narrower
	}
	return rate
}
