package script

import (
	"encoding/hex"
	"slices"
	"time"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// clientFields are those of a client after its CONNECT.
func clientFields() []field {
	type client = pluginapi.Client
	return []field{
		fieldOf("client_id", "string or None", "The client identifier; `None` for a message that no connected client published.",
			func(c *client) starlark.Value { return text(c.ID) }, assign(toText, func(c *client, s string) { c.ID = s })),
		fieldOf("username", "string or None", "The user name.",
			func(c *client) starlark.Value { return optional(c.Username) }, assign(toText, func(c *client, s string) { c.Username = s })),
		fieldOf("protocol_version", "int or None", "3 for MQTT 3.1, 4 for 3.1.1, 5 for 5.",
			func(c *client) starlark.Value { return number(c.Protocol) },
			assign(toUint[uint8], func(c *client, n uint8) { c.Protocol = pluginapi.Protocol(n) })),
		fieldOf("endpoint", "string or None", "The address of the client, `host:port`.",
			func(c *client) starlark.Value { return text(c.PeerAddress) }, assign(toText, func(c *client, s string) { c.PeerAddress = s })),
		fieldOf("listener", "string or None", "The name of the listener through which it came.",
			func(c *client) starlark.Value { return text(c.Listener) }, assign(toText, func(c *client, s string) { c.Listener = s })),
		fieldOf("mountpoint", "string or None", "What the broker puts before the client's topics. Hooks see topics with it.",
			func(c *client) starlark.Value { return optional(c.Mountpoint) }, assign(toText, func(c *client, s string) { c.Mountpoint = s })),
		fieldOf("connection_id", "int or None", "The number of the connection; that of a later one is larger.",
			func(c *client) starlark.Value { return number(c.ConnectionID) },
			assign(toUint[uint64], func(c *client, n uint64) { c.ConnectionID = n })),
	}
}

// itemsField is about the items of a client's session.
func itemsField() field {
	type client = pluginapi.Client
	return kept(fieldOf("session_items", "dict",
		"What hooks have noted about the client's session. Values are what JSON can hold, or bytes; they are there for all later hooks, of all plugins.",
		func(c *client) starlark.Value { return items(c.Items) },
		assign(toItems, func(c *client, m map[string][]byte) { c.Items = m })))
}

var clientRecord = newRecord(clientFields(), []field{itemsField()})

// certificateRecord is a client's certificate.
var certificateRecord = func() *record {
	type cert = pluginapi.Certificate
	texted := func(name, doc string, at func(*cert) *string) field {
		return fieldOf(name, "string", doc, func(c *cert) starlark.Value { return text(*at(c)) }, assign(toText, func(c *cert, s string) { *at(c) = s }))
	}
	listed := func(name, doc string, at func(*cert) *[]string) field {
		return fieldOf(name, "list of string", doc, func(c *cert) starlark.Value { return texts(*at(c)) }, assign(toTexts, func(c *cert, s []string) { *at(c) = s }))
	}
	return newRecord([]field{
		texted("common_name", "CN of the subject.", func(c *cert) *string { return &c.CommonName }),
		texted("subject", "The subject as RFC 2253 writes it.", func(c *cert) *string { return &c.Subject }),
		texted("issuer", "The issuer, likewise.", func(c *cert) *string { return &c.Issuer }),
		texted("serial", "The serial number in hexadecimal digits.", func(c *cert) *string { return &c.Serial }),
		listed("dns_names", "Names in the subject alternative name.", func(c *cert) *[]string { return &c.DNSNames }),
		listed("email_addresses", "Likewise.", func(c *cert) *[]string { return &c.EmailAddresses }),
		listed("uris", "Likewise.", func(c *cert) *[]string { return &c.URIs }),
		listed("ip_addresses", "Likewise.", func(c *cert) *[]string { return &c.IPAddresses }),
		fieldOf("sha256", "string", "The fingerprint in hexadecimal digits.",
			func(c *cert) starlark.Value { return text(hex.EncodeToString(c.SHA256)) },
			func(c *cert, v starlark.Value) error {
				s, err := toText(v)
				if err == nil {
					c.SHA256, err = hex.DecodeString(s)
				}
				return err
			}),
		fieldOf("verified", "bool", "Whether the listener has verified it against its CA.",
			func(c *cert) starlark.Value { return starlark.Bool(c.Verified) }, assign(toBool, func(c *cert, b bool) { c.Verified = b })),
		fieldOf("der", "bytes", "All of it.",
			func(c *cert) starlark.Value { return octets(c.DER) }, assign(toBytes, func(c *cert, b []byte) { c.DER = b })),
	})
}()

// tlsRecord is the TLS layer of a connection.
var tlsRecord = func() *record {
	type layer = pluginapi.TLS
	texted := func(name, doc string, at func(*layer) *string) field {
		return fieldOf(name, "string", doc, func(l *layer) starlark.Value { return text(*at(l)) }, assign(toText, func(l *layer, s string) { *at(l) = s }))
	}
	return newRecord([]field{
		texted("version", "`TLS 1.3`, for example.", func(l *layer) *string { return &l.Version }),
		texted("cipher_suite", "Its name.", func(l *layer) *string { return &l.CipherSuite }),
		texted("server_name", "SNI.", func(l *layer) *string { return &l.ServerName }),
		texted("alpn", "The protocol that was agreed on.", func(l *layer) *string { return &l.ALPN }),
	})
}()

// websocketRecord is the HTTP request of a WebSocket.
var websocketRecord = func() *record {
	type ws = pluginapi.WebSocket
	texted := func(name, doc string, at func(*ws) *string) field {
		return fieldOf(name, "string", doc, func(w *ws) starlark.Value { return text(*at(w)) }, assign(toText, func(w *ws, s string) { *at(w) = s }))
	}
	return newRecord([]field{
		texted("path", "Path of the request.", func(w *ws) *string { return &w.Path }),
		texted("host", "Host of the request.", func(w *ws) *string { return &w.Host }),
		texted("origin", "Where the page came from.", func(w *ws) *string { return &w.Origin }),
		fieldOf("headers", "list of (name, value)", "The headers that the listener passes on.",
			func(w *ws) starlark.Value { return properties(w.Headers) },
			assign(toProperties, func(w *ws, p []pluginapi.UserProperty) { w.Headers = p })),
	})
}()

// proxyRecord is a PROXY protocol header.
var proxyRecord = newRecord([]field{
	fieldOf("address", "string", "The proxy's own address.",
		func(p *pluginapi.Proxy) starlark.Value { return text(p.Address) }, assign(toText, func(p *pluginapi.Proxy, s string) { p.Address = s })),
	fieldOf("tlvs", "dict", "What else it told: bytes by number.",
		func(p *pluginapi.Proxy) starlark.Value {
			d := starlark.NewDict(len(p.TLVs))
			kinds := make([]uint32, 0, len(p.TLVs))
			for k := range p.TLVs {
				kinds = append(kinds, k)
			}
			slices.Sort(kinds)
			for _, k := range kinds {
				_ = d.SetKey(number(k), octets(p.TLVs[k])) // a number can be hashed
			}
			return d
		}, unsettable[pluginapi.Proxy]),
})

// willRecord is a will: a message and a delay.
var willRecord = newRecord(
	through(messageFields(), func(w *pluginapi.Will) *pluginapi.Message { return w.Message }),
	[]field{fieldOf("delay", "float", "MQTT 5: seconds for which the broker waits.",
		func(w *pluginapi.Will) starlark.Value { return starlark.Float(w.Delay.Seconds()) },
		assign(toDuration, func(w *pluginapi.Will, d time.Duration) { w.Delay = d }))},
)

// nested makes a field that is a dict of a record, or None.
func nested[T, U any](name, doc string, r *record, at func(*T) **U, fresh func() *U) field {
	return kept(fieldOf(name, "dict or None", doc,
		func(t *T) starlark.Value {
			if u := *at(t); u != nil {
				return r.dict(u)
			}
			return starlark.None
		},
		func(t *T, v starlark.Value) error {
			if v == starlark.None {
				*at(t) = nil
				return nil
			}
			d, ok := v.(starlark.IterableMapping)
			if !ok {
				return wrong("a dict or None", v)
			}
			*at(t) = fresh()
			return r.fill(*at(t), d.Items())
		}))
}
