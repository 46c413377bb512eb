package script

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// connecting is a CONNECT and what becomes of it.
type connecting struct {
	*pluginapi.Connect
	result   *pluginapi.ReasonCode // nil: nobody has said anything
	decision pluginapi.Decision
}

// connectFields are what is known of a CONNECT.
func connectFields() []field {
	type call = connecting
	return []field{
		fieldOf("client_id", "string", "The client identifier; empty if the client asks to be given one.",
			func(c *call) starlark.Value { return text(c.ClientID) }, assign(toText, func(c *call, s string) { c.ClientID = s })),
		fieldOf("username", "string or None", "The user name.",
			func(c *call) starlark.Value {
				if !c.HasUsername {
					return starlark.None
				}
				return text(c.Username)
			}, func(c *call, v starlark.Value) (err error) {
				c.HasUsername = v != starlark.None
				c.Username, err = toText(v)
				return err
			}),
		fieldOf("password", "string or None", "The password as text; `None` if there is none, or if it is not UTF-8.",
			func(c *call) starlark.Value {
				if !c.HasPassword {
					return starlark.None
				}
				return readable(c.Password)
			}, setPassword),
		fieldOf("raw_password", "bytes or None", "The password.",
			func(c *call) starlark.Value {
				if !c.HasPassword {
					return starlark.None
				}
				return octets(c.Password)
			}, setPassword),
		fieldOf("protocol_version", "int", "3 for MQTT 3.1, 4 for 3.1.1, 5 for 5.",
			func(c *call) starlark.Value { return number(c.Protocol) },
			assign(toUint[uint8], func(c *call, n uint8) { c.Protocol = pluginapi.Protocol(n) })),
		fieldOf("clean_session", "bool", "Clean Session, or Clean Start of MQTT 5.",
			func(c *call) starlark.Value { return starlark.Bool(c.CleanStart) }, assign(toBool, func(c *call, b bool) { c.CleanStart = b })),
		fieldOf("keep_alive_period", "int", "Seconds; 0 for none.",
			func(c *call) starlark.Value { return number(uint64(c.KeepAlive.Seconds())) },
			assign(toDuration, func(c *call, d time.Duration) { c.KeepAlive = d })),
		fieldOf("endpoint", "string", "The address of the client, `host:port`, or `unix`.",
			func(c *call) starlark.Value { return text(c.PeerAddress) }, assign(toText, func(c *call, s string) { c.PeerAddress = s })),
		fieldOf("local_endpoint", "string", "The address to which it connected.",
			func(c *call) starlark.Value { return text(c.LocalAddress) }, assign(toText, func(c *call, s string) { c.LocalAddress = s })),
		fieldOf("listener", "string", "The name of the listener.",
			func(c *call) starlark.Value { return text(c.Listener) }, assign(toText, func(c *call, s string) { c.Listener = s })),
		fieldOf("transport", "string", "`tcp`, `tls`, `ws`, `wss` or `unix`.",
			func(c *call) starlark.Value { return text(c.Transport) }, assign(toText, func(c *call, s string) { c.Transport = s })),
		fieldOf("is_secure_connection", "bool", "Whether there is TLS.",
			func(c *call) starlark.Value { return starlark.Bool(c.TLS != nil) },
			func(c *call, v starlark.Value) error {
				secure, err := toBool(v)
				switch {
				case err != nil:
				case !secure:
					c.TLS = nil
				case c.TLS == nil:
					c.TLS = new(pluginapi.TLS)
				}
				return err
			}),
		nested("tls", "The TLS layer.", tlsRecord, func(c *call) **pluginapi.TLS { return &c.TLS }, func() *pluginapi.TLS { return new(pluginapi.TLS) }),
		certificateField(),
		nested("websocket", "The HTTP request of a WebSocket.", websocketRecord,
			func(c *call) **pluginapi.WebSocket { return &c.WebSocket }, func() *pluginapi.WebSocket { return new(pluginapi.WebSocket) }),
		nested("proxy", "What a PROXY protocol header told.", proxyRecord,
			func(c *call) **pluginapi.Proxy { return &c.Proxy }, func() *pluginapi.Proxy { return new(pluginapi.Proxy) }),
		nested("will", "The will: a message, and `delay`.", willRecord, func(c *call) **pluginapi.Will { return &c.Will },
			func() *pluginapi.Will { return &pluginapi.Will{Message: new(pluginapi.Message)} }),
		fieldOf("connection_id", "int", "The number of the connection; that of a later one is larger.",
			func(c *call) starlark.Value { return number(c.ConnectionID) },
			assign(toUint[uint64], func(c *call, n uint64) { c.ConnectionID = n })),
	}
}

// connectProperties are those of MQTT 5.
func connectProperties() []field {
	type call = connecting
	return []field{
		fieldOf("session_expiry_interval", "int or None", "MQTT 5: seconds for which the session is kept.",
			func(c *call) starlark.Value { return maybe(c.SessionExpiry) }, assign(toMaybe[uint32], func(c *call, n *uint32) { c.SessionExpiry = n })),
		fieldOf("receive_maximum", "int or None", "MQTT 5.",
			func(c *call) starlark.Value { return maybe(c.ReceiveMaximum) }, assign(toMaybe[uint16], func(c *call, n *uint16) { c.ReceiveMaximum = n })),
		fieldOf("maximum_packet_size", "int or None", "MQTT 5.",
			func(c *call) starlark.Value { return maybe(c.MaximumPacketSize) }, assign(toMaybe[uint32], func(c *call, n *uint32) { c.MaximumPacketSize = n })),
		fieldOf("topic_alias_maximum", "int", "MQTT 5.",
			func(c *call) starlark.Value { return number(c.TopicAliasMaximum) }, assign(toUint[uint16], func(c *call, n uint16) { c.TopicAliasMaximum = n })),
		fieldOf("request_response_information", "bool", "MQTT 5.",
			func(c *call) starlark.Value { return starlark.Bool(c.RequestResponseInfo) }, assign(toBool, func(c *call, b bool) { c.RequestResponseInfo = b })),
		fieldOf("request_problem_information", "bool", "MQTT 5.",
			func(c *call) starlark.Value { return starlark.Bool(c.RequestProblemInfo) }, assign(toBool, func(c *call, b bool) { c.RequestProblemInfo = b })),
		kept(fieldOf("user_properties", "list of (name, value)", "MQTT 5: those of the CONNECT.",
			func(c *call) starlark.Value { return properties(c.UserProperties) },
			assign(toProperties, func(c *call, p []pluginapi.UserProperty) { c.UserProperties = p }))),
		fieldOf("authentication_method", "string or None", "MQTT 5.",
			func(c *call) starlark.Value { return optional(c.AuthMethod) }, assign(toText, func(c *call, s string) { c.AuthMethod = s })),
		fieldOf("authentication_data", "bytes or None", "MQTT 5.",
			func(c *call) starlark.Value {
				if c.AuthData == nil {
					return starlark.None
				}
				return octets(c.AuthData)
			}, assign(toBytes, func(c *call, b []byte) { c.AuthData = b })),
	}
}

// decisionFields are what a script says about a CONNECT.
func decisionFields() []field {
	type call = connecting
	return writable([]field{
		fieldOf("result", "string or None",
			"`success` lets the client in; any other name of a reason code refuses it. `None`, with which it begins, leaves the matter to other validators; if all of them do, the client is refused.",
			func(c *call) starlark.Value {
				if c.result == nil {
					return starlark.None
				}
				return text(reasonName(*c.result))
			}, func(c *call, v starlark.Value) error {
				if v == starlark.None {
					c.result = nil
					return nil
				}
				code, err := toReason(v)
				if err == nil && code != pluginapi.Success && !code.Failed() {
					err = fmt.Errorf("%s is no result of a CONNECT", reasonName(code))
				}
				if err == nil {
					c.result = &code
				}
				return err
			}),
		fieldOf("reason_string", "string or None", "MQTT 5: what a client that is refused is told.",
			func(c *call) starlark.Value { return optional(c.decision.Reason) }, assign(toText, func(c *call, s string) { c.decision.Reason = s })),
		fieldOf("server_reference", "string or None", "MQTT 5: another server, with `use_another_server` or `server_moved`.",
			func(c *call) starlark.Value { return optional(c.decision.ServerReference) }, assign(toText, func(c *call, s string) { c.decision.ServerReference = s })),
		kept(fieldOf("session_items", "dict", "What later hooks are to know about the client's session. Values are what JSON can hold, or bytes.",
			func(c *call) starlark.Value { return items(c.decision.Items) },
			assign(toItems, func(c *call, m map[string][]byte) { c.decision.Items = m }))),
		kept(fieldOf("grants", "list or None", "What the client may do: what `allow()` and `deny()` return. `None` does not limit it; an empty list permits nothing.",
			func(c *call) starlark.Value { return grants(c.decision.Grants) },
			assign(toGrants, func(c *call, g []pluginapi.Grant) { c.decision.Grants = g }))),
		kept(fieldOf("limits", "dict", "Limits of the connection: `keep_alive`, `session_expiry`, `receive_maximum`, `maximum_packet_size`, `maximum_qos`, `topic_alias_maximum`, `queue_messages`, `queue_bytes`, `messages_per_second`, `bytes_per_second`, `subscriptions`.",
			func(c *call) starlark.Value { return limitsRecord.dict(&c.decision.Limits) },
			func(c *call, v starlark.Value) error {
				d, ok := v.(starlark.IterableMapping)
				if !ok {
					return wrong("a dict", v)
				}
				c.decision.Limits = pluginapi.Limits{}
				return limitsRecord.fill(&c.decision.Limits, d.Items())
			})),
		kept(fieldOf("quota", "dict or None", "What the client may use by day and by month: `bytes_per_day`, `bytes_per_month`, `messages_per_day`, `messages_per_month`; `of`, what counts, `publish`, `deliver` or `both`, the default; `account`, whose usage it is, the user name if it is empty; `time_zone`, where days begin, UTC if it is empty.",
			func(c *call) starlark.Value { return quotaValue(c.decision.Quota) },
			assign(toQuota, func(c *call, q *pluginapi.Quota) { c.decision.Quota = q }))),
		fieldOf("durability", "string or None", "When something that is promised to the session counts as kept: `sync`, `interval` or `none`. `None` leaves it to the listener, or the broker.",
			func(c *call) starlark.Value { return optional(c.decision.Durability.String()) },
			assign(toDurability, func(c *call, d pluginapi.Durability) { c.decision.Durability = d })),
		fieldOf("assigned_client_identifier", "string or None", "The identifier of a client that has sent none.",
			func(c *call) starlark.Value { return optional(c.decision.AssignedClientID) }, assign(toText, func(c *call, s string) { c.decision.AssignedClientID = s })),
		fieldOf("assigned_username", "string or None", "The user name that counts from now on, such as that of a token.",
			func(c *call) starlark.Value {
				if c.decision.Username == nil {
					return starlark.None
				}
				return text(*c.decision.Username)
			}, func(c *call, v starlark.Value) error {
				s, err := toText(v)
				c.decision.Username = nil
				if err == nil && v != starlark.None {
					c.decision.Username = &s
				}
				return err
			}),
		fieldOf("mountpoint", "string or None", "What the broker puts before the client's topics; it ends with a slash.",
			func(c *call) starlark.Value { return optional(c.decision.Mountpoint) }, assign(toText, func(c *call, s string) { c.decision.Mountpoint = s })),
		fieldOf("valid_for", "float", "Seconds, or `\"10m\"`, for which the decision holds; then it is made anew. 0 for ever.",
			func(c *call) starlark.Value { return starlark.Float(c.decision.ValidFor.Seconds()) },
			assign(toDuration, func(c *call, d time.Duration) { c.decision.ValidFor = d })),
		kept(fieldOf("response_user_properties", "list of (name, value)", "MQTT 5: those of the CONNACK.",
			func(c *call) starlark.Value { return properties(c.decision.UserProperties) },
			assign(toProperties, func(c *call, p []pluginapi.UserProperty) { c.decision.UserProperties = p }))),
		fieldOf("response_authentication_data", "bytes or None", "MQTT 5: the data of the CONNACK.",
			func(c *call) starlark.Value {
				if c.decision.AuthData == nil {
					return starlark.None
				}
				return octets(c.decision.AuthData)
			}, assign(toBytes, func(c *call, b []byte) { c.decision.AuthData = b })),
	})
}

func setPassword(c *connecting, v starlark.Value) (err error) {
	c.HasPassword = v != starlark.None
	c.Password, err = toBytes(v)
	return err
}

// certificateField is about the client's certificate. One that a test sets makes
// the connection one with TLS.
func certificateField() field {
	f := nested("certificate", "The client's certificate.", certificateRecord, func(c *connecting) **pluginapi.Certificate {
		if c.TLS == nil {
			return new(*pluginapi.Certificate)
		}
		return &c.TLS.Certificate
	}, func() *pluginapi.Certificate { return new(pluginapi.Certificate) })
	set := f.set
	f.set = func(src any, v starlark.Value) error {
		if c := src.(*connecting); c.TLS == nil && v != starlark.None {
			c.TLS = new(pluginapi.TLS)
		}
		return set(src, v)
	}
	return f
}

// decide makes the decision of what was said.
func (c *connecting) decide() *pluginapi.Decision {
	switch {
	case c.result == nil:
		return pluginapi.NoOpinion()
	case c.result.Failed():
		c.decision.Word, c.decision.Code = pluginapi.Deny, *c.result
	default:
		c.decision.Word = pluginapi.Allow
	}
	d := c.decision
	return &d
}
