package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// codeSet is a set of reason codes.
type codeSet [4]uint64

func codes(cs ...mqtt.ReasonCode) *codeSet {
	var s codeSet
	for _, c := range cs {
		s[c/64] |= 1 << (c % 64)
	}
	return &s
}

func (s *codeSet) has(c mqtt.ReasonCode) bool { return s[c/64]&(1<<(c%64)) != 0 }

// The reason codes that each packet may carry, from the tables of MQTT 5's
// chapter 3. Where a table tells senders apart there is one for each side.
var (
	connackCodes = codes(mqtt.Success, mqtt.UnspecifiedError, mqtt.MalformedPacket, mqtt.ProtocolError,
		mqtt.ImplementationSpecificError, mqtt.UnsupportedProtocolVersion, mqtt.ClientIdentifierNotValid,
		mqtt.BadUserNameOrPassword, mqtt.NotAuthorized, mqtt.ServerUnavailable, mqtt.ServerBusy, mqtt.Banned,
		mqtt.BadAuthenticationMethod, mqtt.TopicNameInvalid, mqtt.PacketTooLarge, mqtt.QuotaExceeded,
		mqtt.PayloadFormatInvalid, mqtt.RetainNotSupported, mqtt.QoSNotSupported, mqtt.UseAnotherServer,
		mqtt.ServerMoved, mqtt.ConnectionRateExceeded)

	pubackCodes = codes(mqtt.Success, mqtt.NoMatchingSubscribers, mqtt.UnspecifiedError,
		mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicNameInvalid, mqtt.PacketIdentifierInUse,
		mqtt.QuotaExceeded, mqtt.PayloadFormatInvalid)
	pubrelCodes = codes(mqtt.Success, mqtt.PacketIdentifierNotFound)

	subackCodes = codes(mqtt.Success, mqtt.GrantedQoS1, mqtt.GrantedQoS2, mqtt.UnspecifiedError,
		mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicFilterInvalid, mqtt.PacketIdentifierInUse,
		mqtt.QuotaExceeded, mqtt.SharedSubNotSupported, mqtt.SubscriptionIDsNotSupported,
		mqtt.WildcardSubNotSupported)
	subackCodesV3 = codes(mqtt.Success, mqtt.GrantedQoS1, mqtt.GrantedQoS2, mqtt.UnspecifiedError)

	unsubackCodes = codes(mqtt.Success, mqtt.NoSubscriptionExisted, mqtt.UnspecifiedError,
		mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicFilterInvalid, mqtt.PacketIdentifierInUse)

	clientDisconnectCodes = codes(mqtt.Success, mqtt.DisconnectWithWill, mqtt.UnspecifiedError,
		mqtt.MalformedPacket, mqtt.ProtocolError, mqtt.ImplementationSpecificError, mqtt.TopicNameInvalid,
		mqtt.ReceiveMaximumExceeded, mqtt.TopicAliasInvalid, mqtt.PacketTooLarge, mqtt.MessageRateTooHigh,
		mqtt.QuotaExceeded, mqtt.AdministrativeAction, mqtt.PayloadFormatInvalid)
	serverDisconnectCodes = codes(mqtt.Success, mqtt.UnspecifiedError, mqtt.MalformedPacket, mqtt.ProtocolError,
		mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.ServerBusy, mqtt.ServerShuttingDown,
		mqtt.BadAuthenticationMethod, mqtt.KeepAliveTimeout, mqtt.SessionTakenOver, mqtt.TopicFilterInvalid,
		mqtt.TopicNameInvalid, mqtt.ReceiveMaximumExceeded, mqtt.TopicAliasInvalid, mqtt.PacketTooLarge,
		mqtt.MessageRateTooHigh, mqtt.QuotaExceeded, mqtt.AdministrativeAction, mqtt.PayloadFormatInvalid,
		mqtt.RetainNotSupported, mqtt.QoSNotSupported, mqtt.UseAnotherServer, mqtt.ServerMoved,
		mqtt.SharedSubNotSupported, mqtt.ConnectionRateExceeded, mqtt.MaximumConnectTime,
		mqtt.SubscriptionIDsNotSupported, mqtt.WildcardSubNotSupported)

	clientAuthCodes = codes(mqtt.ContinueAuthentication, mqtt.ReAuthenticate)
	serverAuthCodes = codes(mqtt.Success, mqtt.ContinueAuthentication)
)
