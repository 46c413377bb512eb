package pluginhost

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// Bounds of what MQTT can carry: strings and binary data [MQTT-1.5.4],
// payloads, and Subscription Identifiers.
const (
	maxString         = 65535
	maxPayload        = 268_435_455
	maxSubscriptionID = 268_435_455
	maxUserProperties = 4096
)

// illegal is an answer that a plugin may not give.
func illegal(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{hook.ErrProtocol}, args...)...)
}

// legalString checks a string that goes into packets: well-formed UTF-8 without
// U+0000, and not longer than a packet can say [MQTT-1.5.4-1] [MQTT-1.5.4-2].
func legalString(what, s string) error {
	switch {
	case len(s) > maxString:
		return illegal("%s of %d bytes", what, len(s))
	case !utf8.ValidString(s):
		return illegal("%s is not valid UTF-8", what)
	case strings.IndexByte(s, 0) >= 0:
		return illegal("%s contains U+0000", what)
	}
	return nil
}

func legalBinary(what string, b []byte) error {
	if len(b) > maxString {
		return illegal("%s of %d bytes", what, len(b))
	}
	return nil
}

func legalUser(list []mqtt.UserProperty) error {
	if len(list) > maxUserProperties {
		return illegal("%d user properties", len(list))
	}
	for i := range list {
		if err := legalString("user property name", list[i].Key); err != nil {
			return err
		}
		if err := legalString("user property value", list[i].Value); err != nil {
			return err
		}
	}
	return nil
}

func legalQoS(q uint32) (mqtt.QoS, error) {
	if q > uint32(mqtt.ExactlyOnce) {
		return 0, illegal("QoS %d", q)
	}
	return mqtt.QoS(q), nil
}

func legalName(what, s string) error {
	if err := legalString(what, s); err != nil {
		return err
	}
	if err := topic.ValidateName(s); err != nil {
		return illegal("%s %.100q: %v", what, s, err)
	}
	return nil
}

func legalFilter(s string) error {
	if err := legalString("topic filter", s); err != nil {
		return err
	}
	if err := topic.ValidateFilter(s); err != nil {
		return illegal("topic filter %.100q: %v", s, err)
	}
	return nil
}

// codeSet is a set of reason codes.
type codeSet [4]uint64

func newCodeSet(codes ...mqtt.ReasonCode) (s codeSet) {
	for _, c := range codes {
		s[c>>6] |= 1 << (c & 63)
	}
	return s
}

func (s *codeSet) has(c mqtt.ReasonCode) bool { return s[c>>6]&(1<<(c&63)) != 0 }

// legalCode converts a reason code of a packet that can't have every code.
func (s *codeSet) legalCode(where string, code uint32) (mqtt.ReasonCode, error) {
	if code > 0xFF || !s.has(mqtt.ReasonCode(code)) {
		return 0, illegal("reason code 0x%02x is not one of %s", code, where)
	}
	return mqtt.ReasonCode(code), nil
}

// The failures that each packet of MQTT 5 can tell, and 0 for "the default".
var (
	connackCodes = newCodeSet(0,
		mqtt.UnspecifiedError, mqtt.MalformedPacket, mqtt.ProtocolError, mqtt.ImplementationSpecificError,
		mqtt.UnsupportedProtocolVersion, mqtt.ClientIdentifierNotValid, mqtt.BadUserNameOrPassword,
		mqtt.NotAuthorized, mqtt.ServerUnavailable, mqtt.ServerBusy, mqtt.Banned,
		mqtt.BadAuthenticationMethod, mqtt.TopicNameInvalid, mqtt.PacketTooLarge, mqtt.QuotaExceeded,
		mqtt.PayloadFormatInvalid, mqtt.RetainNotSupported, mqtt.QoSNotSupported, mqtt.UseAnotherServer,
		mqtt.ServerMoved, mqtt.ConnectionRateExceeded)
	pubackCodes = newCodeSet(0,
		mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicNameInvalid,
		mqtt.PacketIdentifierInUse, mqtt.QuotaExceeded, mqtt.PayloadFormatInvalid)
	subackCodes = newCodeSet(0,
		mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicFilterInvalid,
		mqtt.PacketIdentifierInUse, mqtt.QuotaExceeded, mqtt.SharedSubNotSupported,
		mqtt.SubscriptionIDsNotSupported, mqtt.WildcardSubNotSupported)
	unsubackCodes = newCodeSet(0,
		mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicFilterInvalid,
		mqtt.PacketIdentifierInUse)
	disconnectCodes = newCodeSet(0,
		mqtt.UnspecifiedError, mqtt.MalformedPacket, mqtt.ProtocolError, mqtt.ImplementationSpecificError,
		mqtt.NotAuthorized, mqtt.ServerBusy, mqtt.ServerShuttingDown, mqtt.KeepAliveTimeout,
		mqtt.SessionTakenOver, mqtt.TopicFilterInvalid, mqtt.TopicNameInvalid, mqtt.ReceiveMaximumExceeded,
		mqtt.TopicAliasInvalid, mqtt.PacketTooLarge, mqtt.MessageRateTooHigh, mqtt.QuotaExceeded,
		mqtt.AdministrativeAction, mqtt.PayloadFormatInvalid, mqtt.RetainNotSupported, mqtt.QoSNotSupported,
		mqtt.UseAnotherServer, mqtt.ServerMoved, mqtt.SharedSubNotSupported, mqtt.ConnectionRateExceeded,
		mqtt.MaximumConnectTime, mqtt.SubscriptionIDsNotSupported, mqtt.WildcardSubNotSupported)
)

// refusalCodes are the codes with which a call can be refused. A refused
// delivery is told to nobody; what a PUBACK could say is legal there.
func refusalCodes(p hook.Point) (set *codeSet, where string) {
	switch p {
	case hook.PointSubscribe:
		return &subackCodes, "SUBACK"
	case hook.PointUnsubscribe:
		return &unsubackCodes, "UNSUBACK"
	default:
		return &pubackCodes, "PUBACK"
	}
}
