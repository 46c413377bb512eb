package vectors

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// nodePacket is a packet as mqtt-packet's parser gives it and its generator
// takes it.
type nodePacket struct {
	Cmd             string          `json:"cmd"`
	MessageID       uint16          `json:"messageId"`
	Topic           nodeBytes       `json:"topic"`
	Payload         nodeBytes       `json:"payload"`
	QoS             mqtt.QoS        `json:"qos"`
	Dup             bool            `json:"dup"`
	Retain          bool            `json:"retain"`
	ProtocolVersion mqtt.Version    `json:"protocolVersion"`
	BridgeMode      bool            `json:"bridgeMode"`
	Clean           *bool           `json:"clean"`
	KeepAlive       uint16          `json:"keepalive"`
	ClientID        nodeBytes       `json:"clientId"`
	Username        nodeBytes       `json:"username"`
	Password        nodeBytes       `json:"password"`
	Will            *nodeWill       `json:"will"`
	SessionPresent  bool            `json:"sessionPresent"`
	ReturnCode      int             `json:"returnCode"`
	ReasonCode      mqtt.ReasonCode `json:"reasonCode"`
	Granted         nodeCodes       `json:"granted"`
	Subscriptions   []nodeSub       `json:"subscriptions"`
	Unsubscriptions []string        `json:"unsubscriptions"`
	Properties      nodeProperties  `json:"properties"`
}

type nodeWill struct {
	Topic      nodeBytes      `json:"topic"`
	Payload    nodeBytes      `json:"payload"`
	QoS        mqtt.QoS       `json:"qos"`
	Retain     bool           `json:"retain"`
	Properties nodeProperties `json:"properties"`
}

type nodeSub struct {
	Topic             string              `json:"topic"`
	QoS               mqtt.QoS            `json:"qos"`
	NoLocal           bool                `json:"nl"`
	RetainAsPublished bool                `json:"rap"`
	RetainHandling    mqtt.RetainHandling `json:"rh"`
}

type nodeProperties struct {
	SessionExpiry     *uint32     `json:"sessionExpiryInterval"`
	ReceiveMaximum    uint16      `json:"receiveMaximum"`
	MaximumPacketSize uint32      `json:"maximumPacketSize"`
	TopicAliasMaximum uint16      `json:"topicAliasMaximum"`
	RequestResponse   bool        `json:"requestResponseInformation"`
	RequestProblem    *bool       `json:"requestProblemInformation"`
	AuthMethod        *string     `json:"authenticationMethod"`
	AuthData          nodeBytes   `json:"authenticationData"`
	WillDelay         uint32      `json:"willDelayInterval"`
	PayloadFormat     *bool       `json:"payloadFormatIndicator"`
	MessageExpiry     *uint32     `json:"messageExpiryInterval"`
	ContentType       string      `json:"contentType"`
	ResponseTopic     string      `json:"responseTopic"`
	CorrelationData   nodeBytes   `json:"correlationData"`
	SubscriptionID    nodeIDs     `json:"subscriptionIdentifier"`
	TopicAlias        *uint16     `json:"topicAlias"`
	MaximumQoS        *mqtt.QoS   `json:"maximumQoS"`
	RetainAvailable   *bool       `json:"retainAvailable"`
	WildcardAvailable *bool       `json:"wildcardSubscriptionAvailable"`
	SubIDsAvailable   *bool       `json:"subscriptionIdentifiersAvailable"`
	SharedAvailable   *bool       `json:"sharedSubscriptionAvailable"`
	AssignedClientID  string      `json:"assignedClientIdentifier"`
	ServerKeepAlive   *uint16     `json:"serverKeepAlive"`
	ResponseInfo      string      `json:"responseInformation"`
	ServerReference   string      `json:"serverReference"`
	ReasonString      string      `json:"reasonString"`
	UserProperties    [][2]string `json:"userProperties"`
}

// nodeBytes is a string or {"hex": ...}; null and absent leave it nil.
type nodeBytes []byte

// UnmarshalJSON implements json.Unmarshaler.
func (b *nodeBytes) UnmarshalJSON(in []byte) error {
	var text *string
	if err := json.Unmarshal(in, &text); err == nil {
		if text != nil {
			*b = append([]byte{}, *text...)
		}
		return nil
	}
	var raw struct{ Hex string }
	if err := json.Unmarshal(in, &raw); err != nil {
		return err
	}
	data, err := hex.DecodeString(raw.Hex)
	*b = append([]byte{}, data...)
	return err
}

// nodeIDs is one subscription identifier or several.
type nodeIDs []uint32

// UnmarshalJSON implements json.Unmarshaler.
func (n *nodeIDs) UnmarshalJSON(in []byte) error {
	var one uint32
	if err := json.Unmarshal(in, &one); err == nil {
		*n = nodeIDs{one}
		return nil
	}
	return json.Unmarshal(in, (*[]uint32)(n))
}

// nodeCodes are reason codes; as bytes they would be taken for base 64.
type nodeCodes []mqtt.ReasonCode

// UnmarshalJSON implements json.Unmarshaler.
func (n *nodeCodes) UnmarshalJSON(in []byte) error {
	var list []int
	err := json.Unmarshal(in, &list)
	for _, c := range list {
		*n = append(*n, mqtt.ReasonCode(c))
	}
	return err
}

// fromNode says with our types what a packet of mqtt-packet's says in version v.
func fromNode(n *nodePacket, v mqtt.Version) (packet.Packet, error) {
	props := &n.Properties
	user := nodeUsers(props.UserProperties)
	switch n.Cmd {
	case "connect":
		return connectFromNode(n), nil
	case "connack":
		return connackFromNode(n, v)
	case "publish":
		return publishFromNode(n), nil
	case "puback", "pubrec", "pubrel", "pubcomp":
		kind := map[string]packet.Type{
			"puback": packet.PUBACK, "pubrec": packet.PUBREC, "pubrel": packet.PUBREL, "pubcomp": packet.PUBCOMP,
		}[n.Cmd]
		return &packet.Ack{Kind: kind, ID: n.MessageID, Code: n.ReasonCode, Reason: props.ReasonString, User: user}, nil
	case "subscribe":
		return subscribeFromNode(n), nil
	case "suback":
		return &packet.Suback{ID: n.MessageID, Codes: n.Granted, Reason: props.ReasonString, User: user}, nil
	case "unsubscribe":
		return &packet.Unsubscribe{ID: n.MessageID, Filters: n.Unsubscriptions, User: user}, nil
	case "unsuback":
		return &packet.Unsuback{ID: n.MessageID, Codes: n.Granted, Reason: props.ReasonString, User: user}, nil
	case "pingreq":
		return &packet.Pingreq{}, nil
	case "pingresp":
		return &packet.Pingresp{}, nil
	case "disconnect":
		p := &packet.Disconnect{Code: n.ReasonCode, Reason: props.ReasonString, ServerReference: props.ServerReference, User: user}
		p.SessionExpiry, p.HasSessionExpiry = optional(props.SessionExpiry)
		return p, nil
	case "auth":
		p := &packet.Auth{Code: n.ReasonCode, Data: props.AuthData, Reason: props.ReasonString, User: user}
		p.Method, _ = optional(props.AuthMethod)
		return p, nil
	default:
		return nil, fmt.Errorf("command %q", n.Cmd)
	}
}

func connectFromNode(n *nodePacket) *packet.Connect {
	props := &n.Properties
	p := &packet.Connect{
		Version: n.ProtocolVersion, Bridge: n.BridgeMode, CleanStart: n.Clean == nil || *n.Clean, KeepAlive: n.KeepAlive,
		ClientID: string(n.ClientID), Username: string(n.Username), HasUsername: n.Username != nil,
		Password: n.Password, HasPassword: n.Password != nil,
		ReceiveMaximum: 65_535, MaximumPacketSize: props.MaximumPacketSize, TopicAliasMaximum: props.TopicAliasMaximum,
		RequestResponseInfo: props.RequestResponse, RequestProblemInfo: !isFalse(props.RequestProblem),
		User: nodeUsers(props.UserProperties), AuthData: props.AuthData,
	}
	if p.Version == 0 {
		p.Version = mqtt.V311
	}
	if props.ReceiveMaximum > 0 {
		p.ReceiveMaximum = props.ReceiveMaximum
	}
	p.SessionExpiry, p.HasSessionExpiry = optional(props.SessionExpiry)
	p.AuthMethod, p.HasAuthMethod = optional(props.AuthMethod)
	if w := n.Will; w != nil {
		p.Will = &packet.Will{
			Topic: string(w.Topic), Payload: w.Payload, QoS: w.QoS, Retain: w.Retain,
			Delay: w.Properties.WillDelay, Properties: nodeMessageProperties(&w.Properties),
		}
	}
	return p
}

func connackFromNode(n *nodePacket, v mqtt.Version) (*packet.Connack, error) {
	props := &n.Properties
	p := &packet.Connack{
		SessionPresent: n.SessionPresent, Code: n.ReasonCode, ReceiveMaximum: props.ReceiveMaximum,
		NoRetain: isFalse(props.RetainAvailable), NoWildcard: isFalse(props.WildcardAvailable),
		NoSubscriptionIDs: isFalse(props.SubIDsAvailable), NoShared: isFalse(props.SharedAvailable),
		MaximumPacketSize: props.MaximumPacketSize, AssignedClientID: props.AssignedClientID,
		TopicAliasMaximum: props.TopicAliasMaximum, Reason: props.ReasonString, User: nodeUsers(props.UserProperties),
		ResponseInfo: props.ResponseInfo, ServerReference: props.ServerReference, AuthData: props.AuthData,
	}
	p.SessionExpiry, p.HasSessionExpiry = optional(props.SessionExpiry)
	p.MaximumQoS, p.HasMaximumQoS = optional(props.MaximumQoS)
	p.ServerKeepAlive, p.HasServerKeepAlive = optional(props.ServerKeepAlive)
	p.AuthMethod, _ = optional(props.AuthMethod)
	if v != mqtt.V5 {
		if n.ReturnCode >= len(returnCodes) {
			return nil, fmt.Errorf("return code %d", n.ReturnCode)
		}
		p.Code = returnCodes[n.ReturnCode]
	}
	return p, nil
}

func publishFromNode(n *nodePacket) *packet.Publish {
	p := &packet.Publish{
		ID: n.MessageID, Dup: n.Dup, SubscriptionIDs: n.Properties.SubscriptionID,
		Message: mqtt.Message{
			Topic: string(n.Topic), Payload: n.Payload, QoS: n.QoS, Retain: n.Retain,
			Properties: nodeMessageProperties(&n.Properties),
		},
	}
	p.Alias, p.HasAlias = optional(n.Properties.TopicAlias)
	return p
}

func subscribeFromNode(n *nodePacket) *packet.Subscribe {
	p := &packet.Subscribe{ID: n.MessageID, User: nodeUsers(n.Properties.UserProperties)}
	if ids := n.Properties.SubscriptionID; len(ids) > 0 {
		p.SubscriptionID = ids[0]
	}
	for _, s := range n.Subscriptions {
		p.Subscriptions = append(p.Subscriptions, mqtt.Subscription{
			Filter: s.Topic, QoS: s.QoS, NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished,
			RetainHandling: s.RetainHandling, ID: p.SubscriptionID,
		})
	}
	return p
}

func nodeMessageProperties(p *nodeProperties) *mqtt.Properties {
	out := &mqtt.Properties{
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData,
		User: nodeUsers(p.UserProperties),
	}
	out.PayloadIsUTF8, out.HasPayloadFormat = optional(p.PayloadFormat)
	out.Expiry, out.HasExpiry = optional(p.MessageExpiry)
	if !out.HasPayloadFormat && !out.HasExpiry && out.ContentType == "" && out.ResponseTopic == "" &&
		out.CorrelationData == nil && out.User == nil {
		return nil
	}
	return out
}

func nodeUsers(in [][2]string) (out []mqtt.UserProperty) {
	for _, u := range in {
		out = append(out, mqtt.UserProperty{Key: u[0], Value: u[1]})
	}
	return out
}

func optional[T any](p *T) (v T, ok bool) {
	if p != nil {
		return *p, true
	}
	return v, false
}

func isFalse(b *bool) bool { return b != nil && !*b }
