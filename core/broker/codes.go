package broker

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// A hook may answer with any reason code; each packet may carry only some of
// them. What follows returns the code itself if it may stand there, else the one
// that comes closest.

// connackCode returns a failure code that CONNACK may carry [MQTT-3.2.2-8].
func connackCode(code mqtt.ReasonCode) mqtt.ReasonCode {
	switch code {
	case mqtt.UnspecifiedError, mqtt.MalformedPacket, mqtt.ProtocolError, mqtt.ImplementationSpecificError,
		mqtt.UnsupportedProtocolVersion, mqtt.ClientIdentifierNotValid, mqtt.BadUserNameOrPassword,
		mqtt.NotAuthorized, mqtt.ServerUnavailable, mqtt.ServerBusy, mqtt.Banned, mqtt.BadAuthenticationMethod,
		mqtt.TopicNameInvalid, mqtt.PacketTooLarge, mqtt.QuotaExceeded, mqtt.PayloadFormatInvalid,
		mqtt.RetainNotSupported, mqtt.QoSNotSupported, mqtt.UseAnotherServer, mqtt.ServerMoved,
		mqtt.ConnectionRateExceeded:
		return code
	case mqtt.ServerShuttingDown:
		return mqtt.ServerUnavailable
	case mqtt.TopicAliasInvalid, mqtt.ReceiveMaximumExceeded:
		return mqtt.ProtocolError
	default:
		return mqtt.UnspecifiedError
	}
}

// disconnectCode returns a failure code that a server's DISCONNECT may carry
// [MQTT-3.14.2-1].
func disconnectCode(code mqtt.ReasonCode) mqtt.ReasonCode {
	switch code {
	case mqtt.UnspecifiedError, mqtt.MalformedPacket, mqtt.ProtocolError, mqtt.ImplementationSpecificError,
		mqtt.NotAuthorized, mqtt.ServerBusy, mqtt.ServerShuttingDown, mqtt.BadAuthenticationMethod,
		mqtt.KeepAliveTimeout, mqtt.SessionTakenOver, mqtt.TopicFilterInvalid, mqtt.TopicNameInvalid,
		mqtt.ReceiveMaximumExceeded, mqtt.TopicAliasInvalid, mqtt.PacketTooLarge, mqtt.MessageRateTooHigh,
		mqtt.QuotaExceeded, mqtt.AdministrativeAction, mqtt.PayloadFormatInvalid, mqtt.RetainNotSupported,
		mqtt.QoSNotSupported, mqtt.UseAnotherServer, mqtt.ServerMoved, mqtt.SharedSubNotSupported,
		mqtt.ConnectionRateExceeded, mqtt.MaximumConnectTime, mqtt.SubscriptionIDsNotSupported,
		mqtt.WildcardSubNotSupported:
		return code
	case mqtt.BadUserNameOrPassword, mqtt.Banned, mqtt.ClientIdentifierNotValid:
		return mqtt.NotAuthorized
	case mqtt.ServerUnavailable:
		return mqtt.ServerBusy
	}
	if !code.Failed() {
		return mqtt.AdministrativeAction
	}
	return mqtt.UnspecifiedError
}

// publishCode returns a reason code that PUBACK and PUBREC may carry.
func publishCode(code mqtt.ReasonCode) mqtt.ReasonCode {
	switch code {
	case mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicNameInvalid,
		mqtt.PacketIdentifierInUse, mqtt.QuotaExceeded, mqtt.PayloadFormatInvalid:
		return code
	case mqtt.Success:
		return mqtt.NotAuthorized
	default:
		return mqtt.UnspecifiedError
	}
}

// subscribeCode returns a failure code that SUBACK may carry.
func subscribeCode(code mqtt.ReasonCode) mqtt.ReasonCode {
	switch code {
	case mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicFilterInvalid,
		mqtt.PacketIdentifierInUse, mqtt.QuotaExceeded, mqtt.SharedSubNotSupported,
		mqtt.SubscriptionIDsNotSupported, mqtt.WildcardSubNotSupported:
		return code
	case mqtt.Success:
		return mqtt.NotAuthorized
	default:
		return mqtt.UnspecifiedError
	}
}

// unsubscribeCode returns a failure code that UNSUBACK may carry.
func unsubscribeCode(code mqtt.ReasonCode) mqtt.ReasonCode {
	switch code {
	case mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicFilterInvalid,
		mqtt.PacketIdentifierInUse:
		return code
	case mqtt.Success:
		return mqtt.NotAuthorized
	default:
		return mqtt.UnspecifiedError
	}
}
