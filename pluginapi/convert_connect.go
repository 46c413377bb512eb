package pluginapi

import (
	"time"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func connectFromProto(c *pluginv1.Connect) *Connect {
	if c == nil {
		return new(Connect)
	}
	return &Connect{
		ConnectionID:        c.GetConnectionId(),
		ClientID:            c.GetClientId(),
		Username:            c.GetUsername(),
		HasUsername:         c.Username != nil,
		Password:            c.GetPassword(),
		HasPassword:         c.Password != nil,
		Protocol:            Protocol(c.GetProtocolLevel()),
		CleanStart:          c.GetCleanStart(),
		KeepAlive:           time.Duration(c.GetKeepAliveSeconds()) * time.Second,
		Will:                willFromProto(c.GetWill()),
		SessionExpiry:       c.SessionExpirySeconds,
		ReceiveMaximum:      narrow[uint16](c.ReceiveMaximum),
		MaximumPacketSize:   c.MaximumPacketSize,
		TopicAliasMaximum:   uint16(c.GetTopicAliasMaximum()),
		RequestResponseInfo: c.GetRequestResponseInformation(),
		RequestProblemInfo:  c.GetRequestProblemInformation(),
		UserProperties:      userPropertiesFromProto(c.GetUserProperties()),
		AuthMethod:          c.GetAuthenticationMethod(),
		AuthData:            c.GetAuthenticationData(),
		PeerAddress:         c.GetPeerAddress(),
		LocalAddress:        c.GetLocalAddress(),
		Listener:            c.GetListener(),
		Transport:           c.GetTransport(),
		TLS:                 tlsFromProto(c.GetTls()),
		WebSocket:           webSocketFromProto(c.GetWebsocket()),
		Proxy:               proxyFromProto(c.GetProxy()),
	}
}

func willFromProto(w *pluginv1.Will) *Will {
	if w == nil {
		return nil
	}
	return &Will{
		Message: messageFromProto(w.GetMessage()),
		Delay:   time.Duration(w.GetDelaySeconds()) * time.Second,
	}
}

func tlsFromProto(t *pluginv1.TlsInfo) *TLS {
	if t == nil {
		return nil
	}
	out := &TLS{Version: t.GetVersion(), CipherSuite: t.GetCipherSuite(), ServerName: t.GetServerName(), ALPN: t.GetAlpn()}
	if c := t.GetCertificate(); c != nil {
		out.Certificate = &Certificate{
			DER:            c.GetDer(),
			Subject:        c.GetSubject(),
			Issuer:         c.GetIssuer(),
			CommonName:     c.GetCommonName(),
			DNSNames:       c.GetDnsNames(),
			EmailAddresses: c.GetEmailAddresses(),
			URIs:           c.GetUris(),
			IPAddresses:    c.GetIpAddresses(),
			SHA256:         c.GetSha256(),
			Serial:         c.GetSerial(),
			Verified:       c.GetVerified(),
		}
	}
	return out
}

func webSocketFromProto(w *pluginv1.WebSocketInfo) *WebSocket {
	if w == nil {
		return nil
	}
	return &WebSocket{Path: w.GetPath(), Host: w.GetHost(), Origin: w.GetOrigin(), Headers: userPropertiesFromProto(w.GetHeaders())}
}

func proxyFromProto(p *pluginv1.ProxyInfo) *Proxy {
	if p == nil {
		return nil
	}
	return &Proxy{Address: p.GetProxyAddress(), TLVs: p.GetTlvs()}
}

// narrow converts a number that MQTT keeps in fewer bits than protobuf has.
func narrow[T uint8 | uint16](p *uint32) *T {
	if p == nil {
		return nil
	}
	v := T(*p)
	return &v
}

// widen is the way back.
func widen[T ~uint8 | ~uint16](p *T) *uint32 {
	if p == nil {
		return nil
	}
	v := uint32(*p)
	return &v
}
