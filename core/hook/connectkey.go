package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// connectKey stands for all of a CONNECT that a decision may depend on. It is
// made with a secret, so that a password can't be guessed from it.
type connectKey [sha256.Size]byte

// keyOf leaves out what differs whenever the same client connects: the
// connection's number, the ports of its address and of its proxy's, and the key
// of its WebSocket.
func keyOf(secret []byte, c *Connect) (key connectKey) {
	k := keyWriter{hmac.New(sha256.New, secret)}
	k.text(c.ClientID, c.Username, string(c.Password), c.AuthMethod, string(c.AuthData))
	k.flags(c.HasUsername, c.HasPassword, c.CleanStart, c.HasSessionExpiry, c.RequestResponseInfo, c.RequestProblemInfo,
		c.AuthData != nil, c.Will != nil, c.TLS != nil, c.WebSocket != nil, c.Proxy != nil)
	k.number(uint64(c.Version), uint64(c.KeepAlive), uint64(c.SessionExpiry), uint64(c.ReceiveMaximum),
		uint64(c.MaximumPacketSize), uint64(c.TopicAliasMaximum))
	k.user(c.User)
	k.flags(c.Validators != nil)
	k.number(uint64(len(c.Validators)))
	k.text(c.Validators...)
	k.text(host(c.PeerAddress), c.LocalAddress, c.Listener, c.Transport)
	if c.Will != nil {
		k.number(uint64(c.Will.Delay))
		k.message(c.Will.Message)
	}
	if t := c.TLS; t != nil {
		k.text(t.Version, t.CipherSuite, t.ServerName, t.ALPN)
		k.flags(t.Certificate != nil, t.Certificate != nil && t.Certificate.Verified)
		if t.Certificate != nil {
			k.text(string(t.Certificate.DER)) // all else is from it
		}
	}
	if w := c.WebSocket; w != nil {
		k.text(w.Path, w.Host, w.Origin)
		k.user(slices.DeleteFunc(slices.Clone(w.Headers), func(h mqtt.UserProperty) bool {
			return strings.EqualFold(h.Key, "Sec-WebSocket-Key")
		}))
	}
	if p := c.Proxy; p != nil {
		k.text(host(p.Address))
		k.number(uint64(len(p.TLVs)))
		for _, kind := range slices.Sorted(maps.Keys(p.TLVs)) {
			k.number(uint64(kind))
			k.text(string(p.TLVs[kind]))
		}
	}
	k.Sum(key[:0])
	return key
}

// host is an address without its port.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// keyWriter writes values so that no two lists of them look alike.
type keyWriter struct{ hash.Hash }

func (k keyWriter) number(list ...uint64) {
	var b [8]byte
	for _, n := range list {
		binary.BigEndian.PutUint64(b[:], n)
		_, _ = k.Write(b[:])
	}
}

func (k keyWriter) text(list ...string) {
	for _, s := range list {
		k.number(uint64(len(s)))
		_, _ = k.Write([]byte(s))
	}
}

func (k keyWriter) flags(list ...bool) {
	var bits uint64
	for i, set := range list {
		if set {
			bits |= 1 << i
		}
	}
	k.number(bits)
}

func (k keyWriter) user(list []mqtt.UserProperty) {
	k.number(uint64(len(list)))
	for _, u := range list {
		k.text(u.Key, u.Value)
	}
}

func (k keyWriter) message(m *mqtt.Message) {
	k.text(m.Topic, string(m.Payload))
	k.flags(m.Retain, m.Properties != nil)
	k.number(uint64(m.QoS))
	if p := m.Properties; p != nil {
		k.text(p.ContentType, p.ResponseTopic, string(p.CorrelationData))
		k.flags(p.PayloadIsUTF8, p.HasPayloadFormat, p.HasExpiry, p.CorrelationData != nil, p.EmptyContentType)
		k.number(uint64(p.Expiry))
		k.user(p.User)
	}
}
