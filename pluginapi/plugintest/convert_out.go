package plugintest

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// The conversions of this file are the broker's side of those in pluginapi, and
// deliberately not made of the same code: a mistake in either shows.

func connectToProto(c *pluginapi.Connect) *pluginv1.Connect {
	out := &pluginv1.Connect{
		ConnectionId:               c.ConnectionID,
		ClientId:                   c.ClientID,
		ProtocolLevel:              uint32(c.Protocol),
		CleanStart:                 c.CleanStart,
		KeepAliveSeconds:           uint32(c.KeepAlive / time.Second),
		SessionExpirySeconds:       c.SessionExpiry,
		MaximumPacketSize:          c.MaximumPacketSize,
		TopicAliasMaximum:          uint32(c.TopicAliasMaximum),
		RequestResponseInformation: c.RequestResponseInfo,
		RequestProblemInformation:  c.RequestProblemInfo,
		UserProperties:             propertiesToProto(c.UserProperties),
		AuthenticationMethod:       c.AuthMethod,
		AuthenticationData:         c.AuthData,
		PeerAddress:                c.PeerAddress,
		LocalAddress:               c.LocalAddress,
		Listener:                   c.Listener,
		Transport:                  c.Transport,
	}
	if c.HasUsername {
		out.Username = &c.Username
	}
	if c.HasPassword {
		out.Password = append([]byte{}, c.Password...)
	}
	if c.ReceiveMaximum != nil {
		n := uint32(*c.ReceiveMaximum)
		out.ReceiveMaximum = &n
	}
	if c.Will != nil {
		out.Will = &pluginv1.Will{Message: messageToProto(c.Will.Message), DelaySeconds: uint32(c.Will.Delay / time.Second)}
	}
	if c.TLS != nil {
		out.Tls = tlsToProto(c.TLS)
	}
	if w := c.WebSocket; w != nil {
		out.Websocket = &pluginv1.WebSocketInfo{Path: w.Path, Host: w.Host, Origin: w.Origin, Headers: propertiesToProto(w.Headers)}
	}
	if c.Proxy != nil {
		out.Proxy = &pluginv1.ProxyInfo{ProxyAddress: c.Proxy.Address, Tlvs: c.Proxy.TLVs}
	}
	return out
}

func tlsToProto(t *pluginapi.TLS) *pluginv1.TlsInfo {
	out := &pluginv1.TlsInfo{Version: t.Version, CipherSuite: t.CipherSuite, ServerName: t.ServerName, Alpn: t.ALPN}
	if c := t.Certificate; c != nil {
		out.Certificate = &pluginv1.ClientCertificate{
			Der:            c.DER,
			Subject:        c.Subject,
			Issuer:         c.Issuer,
			CommonName:     c.CommonName,
			DnsNames:       c.DNSNames,
			EmailAddresses: c.EmailAddresses,
			Uris:           c.URIs,
			IpAddresses:    c.IPAddresses,
			Sha256:         c.SHA256,
			Serial:         c.Serial,
			Verified:       c.Verified,
		}
	}
	return out
}

func clientToProto(c *pluginapi.Client) *pluginv1.ClientContext {
	return &pluginv1.ClientContext{
		ConnectionId:  c.ConnectionID,
		ClientId:      c.ID,
		Username:      c.Username,
		ProtocolLevel: uint32(c.Protocol),
		PeerAddress:   c.PeerAddress,
		Listener:      c.Listener,
		Mountpoint:    c.Mountpoint,
		Items:         c.Items,
	}
}

func messageToProto(m *pluginapi.Message) *pluginv1.Message {
	if m == nil {
		return nil
	}
	out := &pluginv1.Message{
		Topic:           m.Topic,
		Payload:         m.Payload,
		PayloadSize:     uint64(max(m.PayloadSize, len(m.Payload))),
		Qos:             uint32(m.QoS),
		Retain:          m.Retain,
		PayloadIsUtf8:   m.PayloadIsUTF8,
		ExpirySeconds:   m.Expiry,
		ContentType:     m.ContentType,
		ResponseTopic:   m.ResponseTopic,
		CorrelationData: m.CorrelationData,
		UserProperties:  propertiesToProto(m.UserProperties),
		Publisher:       m.Publisher,
		Origin:          pluginv1.Origin(m.Origin),
		Hops:            uint32(m.Hops),
	}
	if !m.Created.IsZero() {
		out.CreatedUnixNanos = m.Created.UnixNano()
	}
	return out
}

func subscriptionToProto(s pluginapi.Subscription) *pluginv1.Subscription {
	return &pluginv1.Subscription{
		Filter:            s.Filter,
		Qos:               uint32(s.QoS),
		NoLocal:           s.NoLocal,
		RetainAsPublished: s.RetainAsPublished,
		RetainHandling:    uint32(s.RetainHandling),
		Identifier:        s.Identifier,
	}
}

func propertiesToProto(ps []pluginapi.UserProperty) []*pluginv1.UserProperty {
	var out []*pluginv1.UserProperty
	for _, p := range ps {
		out = append(out, &pluginv1.UserProperty{Key: p.Key, Value: p.Value})
	}
	return out
}

func eventToProto(e *pluginapi.Event) *pluginv1.Event {
	out := &pluginv1.Event{
		Kind:         pluginv1.EventKind(e.Kind),
		ClientId:     e.ClientID,
		ConnectionId: e.ConnectionID,
		Seq:          e.Seq,
		Message:      messageToProto(e.Message),
		ReasonCode:   uint32(e.Code),
		Reason:       e.Reason,
		Cause:        e.Cause,
		Disconnect:   pluginv1.DisconnectKind(e.Disconnect),
	}
	if !e.Time.IsZero() {
		out.TimeUnixNanos = e.Time.UnixNano()
	}
	if e.Client != nil {
		out.Client = clientToProto(e.Client)
	}
	if e.Subscription != nil {
		out.Subscription = subscriptionToProto(*e.Subscription)
	}
	return out
}
