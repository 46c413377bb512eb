package vectors

import (
	"bytes"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// fromMochi says with our types what a packet of mochi's says.
func fromMochi(p *packets.Packet) packet.Packet {
	props := &p.Properties
	code := mqtt.ReasonCode(p.ReasonCode)
	switch t := packet.Type(p.FixedHeader.Type); t {
	case packet.CONNECT:
		return connectFromMochi(p)
	case packet.CONNACK:
		return connackFromMochi(p)
	case packet.PUBLISH:
		return publishFromMochi(p)
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		return &packet.Ack{Kind: t, ID: p.PacketID, Code: code, Reason: props.ReasonString, User: users(props.User)}
	case packet.SUBSCRIBE:
		return subscribeFromMochi(p)
	case packet.SUBACK:
		return &packet.Suback{ID: p.PacketID, Codes: codes(p.ReasonCodes), Reason: props.ReasonString, User: users(props.User)}
	case packet.UNSUBSCRIBE:
		u := &packet.Unsubscribe{ID: p.PacketID, User: users(props.User)}
		for _, f := range p.Filters {
			u.Filters = append(u.Filters, f.Filter)
		}
		return u
	case packet.UNSUBACK:
		u := &packet.Unsuback{ID: p.PacketID, Reason: props.ReasonString, User: users(props.User)}
		if p.ProtocolVersion == 5 {
			u.Codes = codes(p.ReasonCodes)
		}
		return u
	case packet.PINGREQ:
		return &packet.Pingreq{}
	case packet.PINGRESP:
		return &packet.Pingresp{}
	case packet.DISCONNECT:
		return &packet.Disconnect{
			Code: code, SessionExpiry: props.SessionExpiryInterval, HasSessionExpiry: props.SessionExpiryIntervalFlag,
			Reason: props.ReasonString, ServerReference: props.ServerReference, User: users(props.User),
		}
	case packet.AUTH:
		return &packet.Auth{
			Code: code, Method: props.AuthenticationMethod, Data: props.AuthenticationData,
			Reason: props.ReasonString, User: users(props.User),
		}
	default:
		panic(fmt.Sprintf("type %v", t))
	}
}

func connectFromMochi(p *packets.Packet) *packet.Connect {
	c, props := &p.Connect, &p.Properties
	out := &packet.Connect{
		Version: mqtt.Version(p.ProtocolVersion), CleanStart: c.Clean, KeepAlive: c.Keepalive, ClientID: c.ClientIdentifier,
		Username: string(c.Username), HasUsername: c.UsernameFlag, Password: c.Password, HasPassword: c.PasswordFlag,
		SessionExpiry: props.SessionExpiryInterval, HasSessionExpiry: props.SessionExpiryIntervalFlag,
		ReceiveMaximum: 65_535, MaximumPacketSize: props.MaximumPacketSize, TopicAliasMaximum: props.TopicAliasMaximum,
		RequestResponseInfo: props.RequestResponseInfo == 1,
		RequestProblemInfo:  !props.RequestProblemInfoFlag || props.RequestProblemInfo == 1,
		User:                users(props.User),
		AuthMethod:          props.AuthenticationMethod, HasAuthMethod: props.AuthenticationMethod != "",
		AuthData: props.AuthenticationData,
	}
	if props.ReceiveMaximum > 0 {
		out.ReceiveMaximum = props.ReceiveMaximum
	}
	if c.WillFlag {
		out.Will = &packet.Will{
			Topic: c.WillTopic, Payload: c.WillPayload, QoS: mqtt.QoS(c.WillQos), Retain: c.WillRetain,
			Delay: c.WillProperties.WillDelayInterval, Properties: messageProperties(&c.WillProperties),
		}
	}
	return out
}

func connackFromMochi(p *packets.Packet) *packet.Connack {
	props := &p.Properties
	return &packet.Connack{
		SessionPresent: p.SessionPresent, Code: connackCode(p),
		SessionExpiry: props.SessionExpiryInterval, HasSessionExpiry: props.SessionExpiryIntervalFlag,
		ReceiveMaximum: props.ReceiveMaximum, MaximumQoS: mqtt.QoS(props.MaximumQos), HasMaximumQoS: props.MaximumQosFlag,
		NoRetain:          props.RetainAvailableFlag && props.RetainAvailable == 0,
		NoWildcard:        props.WildcardSubAvailableFlag && props.WildcardSubAvailable == 0,
		NoSubscriptionIDs: props.SubIDAvailableFlag && props.SubIDAvailable == 0,
		NoShared:          props.SharedSubAvailableFlag && props.SharedSubAvailable == 0,
		MaximumPacketSize: props.MaximumPacketSize, AssignedClientID: props.AssignedClientID,
		TopicAliasMaximum: props.TopicAliasMaximum, Reason: props.ReasonString, User: users(props.User),
		ServerKeepAlive: props.ServerKeepAlive, HasServerKeepAlive: props.ServerKeepAliveFlag,
		ResponseInfo: props.ResponseInfo, ServerReference: props.ServerReference,
		AuthMethod: props.AuthenticationMethod, AuthData: props.AuthenticationData,
	}
}

// connackCode gives the return codes of 3.1.1 the meaning that they have.
func connackCode(p *packets.Packet) mqtt.ReasonCode {
	if int(p.ReasonCode) >= len(returnCodes) || p.ProtocolVersion == 5 {
		return mqtt.ReasonCode(p.ReasonCode)
	}
	return returnCodes[p.ReasonCode]
}

var returnCodes = [...]mqtt.ReasonCode{
	mqtt.Success, mqtt.UnsupportedProtocolVersion, mqtt.ClientIdentifierNotValid, mqtt.ServerUnavailable,
	mqtt.BadUserNameOrPassword, mqtt.NotAuthorized,
}

func publishFromMochi(p *packets.Packet) *packet.Publish {
	props := &p.Properties
	out := &packet.Publish{
		ID: p.PacketID, Dup: p.FixedHeader.Dup, Alias: props.TopicAlias, HasAlias: props.TopicAliasFlag,
		Message: mqtt.Message{
			Topic: p.TopicName, Payload: p.Payload, QoS: mqtt.QoS(p.FixedHeader.Qos), Retain: p.FixedHeader.Retain,
			Properties: messageProperties(props),
		},
	}
	for _, id := range props.SubscriptionIdentifier {
		out.SubscriptionIDs = append(out.SubscriptionIDs, uint32(id))
	}
	return out
}

func subscribeFromMochi(p *packets.Packet) *packet.Subscribe {
	out := &packet.Subscribe{ID: p.PacketID, User: users(p.Properties.User)}
	if ids := p.Properties.SubscriptionIdentifier; len(ids) > 0 {
		out.SubscriptionID = uint32(ids[0])
	}
	for _, f := range p.Filters {
		out.Subscriptions = append(out.Subscriptions, mqtt.Subscription{
			Filter: f.Filter, QoS: mqtt.QoS(f.Qos), NoLocal: f.NoLocal, RetainAsPublished: f.RetainAsPublished,
			RetainHandling: mqtt.RetainHandling(f.RetainHandling), ID: out.SubscriptionID,
		})
	}
	return out
}

func messageProperties(p *packets.Properties) *mqtt.Properties {
	out := &mqtt.Properties{
		PayloadIsUTF8: p.PayloadFormat == 1, HasPayloadFormat: p.PayloadFormatFlag,
		Expiry: p.MessageExpiryInterval, HasExpiry: p.MessageExpiryInterval > 0,
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData, User: users(p.User),
	}
	if !out.HasPayloadFormat && !out.HasExpiry && out.ContentType == "" && out.ResponseTopic == "" &&
		out.CorrelationData == nil && out.User == nil {
		return nil
	}
	return out
}

func users(in []packets.UserProperty) (out []mqtt.UserProperty) {
	for _, u := range in {
		out = append(out, mqtt.UserProperty{Key: u.Key, Value: u.Val})
	}
	return out
}

func codes(in []byte) (out []mqtt.ReasonCode) {
	for _, c := range in {
		out = append(out, mqtt.ReasonCode(c))
	}
	return out
}

// mochiEncode writes a packet with mochi's code.
func mochiEncode(in *packets.Packet) ([]byte, error) {
	p := *in
	p.Mods.AllowResponseInfo = true
	var buf bytes.Buffer
	write := map[byte]func(*bytes.Buffer) error{
		packets.Connect: p.ConnectEncode, packets.Connack: p.ConnackEncode, packets.Publish: p.PublishEncode,
		packets.Puback: p.PubackEncode, packets.Pubrec: p.PubrecEncode, packets.Pubrel: p.PubrelEncode,
		packets.Pubcomp: p.PubcompEncode, packets.Subscribe: p.SubscribeEncode, packets.Suback: p.SubackEncode,
		packets.Unsubscribe: p.UnsubscribeEncode, packets.Unsuback: p.UnsubackEncode, packets.Pingreq: p.PingreqEncode,
		packets.Pingresp: p.PingrespEncode, packets.Disconnect: p.DisconnectEncode, packets.Auth: p.AuthEncode,
	}[p.FixedHeader.Type]
	err := write(&buf)
	return buf.Bytes(), err
}

// mochiDecode reads a packet with mochi's code.
func mochiDecode(raw []byte, v mqtt.Version) (*packets.Packet, error) {
	p := &packets.Packet{ProtocolVersion: byte(v), FixedHeader: packets.FixedHeader{Type: raw[0] >> 4}}
	p.Mods.AllowResponseInfo = true
	if err := p.FixedHeader.Decode(raw[0]); err != nil {
		return nil, err
	}
	length, n, err := packets.DecodeLength(bytes.NewReader(raw[1:]))
	if err != nil {
		return nil, err
	}
	p.FixedHeader.Remaining = length
	read := map[byte]func([]byte) error{
		packets.Connect: p.ConnectDecode, packets.Connack: p.ConnackDecode, packets.Publish: p.PublishDecode,
		packets.Puback: p.PubackDecode, packets.Pubrec: p.PubrecDecode, packets.Pubrel: p.PubrelDecode,
		packets.Pubcomp: p.PubcompDecode, packets.Subscribe: p.SubscribeDecode, packets.Suback: p.SubackDecode,
		packets.Unsubscribe: p.UnsubscribeDecode, packets.Unsuback: p.UnsubackDecode, packets.Pingreq: p.PingreqDecode,
		packets.Pingresp: p.PingrespDecode, packets.Disconnect: p.DisconnectDecode, packets.Auth: p.AuthDecode,
	}[p.FixedHeader.Type]
	return p, read(raw[1+n:])
}
