package interceptor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// reasonCode is a reason code that is written as a number, as a string with a
// number ("0x87"), or as its name ("not authorized").
type reasonCode pluginapi.ReasonCode

// UnmarshalJSON reads a reason code of failure.
func (c *reasonCode) UnmarshalJSON(b []byte) error {
	var number uint8
	if json.Unmarshal(b, &number) == nil {
		return c.set(number)
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("must be a number from 128 to 162, or a name such as \"not authorized\"")
	}
	if n, err := strconv.ParseUint(text, 0, 8); err == nil {
		return c.set(uint8(n))
	}
	for n := firstFailure; n <= lastFailure; n++ {
		if plainName(n.String()) == plainName(text) {
			*c = reasonCode(n)
			return nil
		}
	}
	return fmt.Errorf("unknown reason code %q; write its number or its name such as \"not authorized\"", text)
}

const (
	firstFailure = pluginapi.UnspecifiedError
	lastFailure  = pluginapi.WildcardSubNotSupported
)

func (c *reasonCode) set(n uint8) error {
	code := pluginapi.ReasonCode(n)
	if code < firstFailure || code > lastFailure || strings.HasPrefix(code.String(), "reason code") {
		return fmt.Errorf("%d is no reason code of failure; they are 128 (0x80) to 162 (0xA2)", n)
	}
	*c = reasonCode(n)
	return nil
}

// plainName makes names equal that differ in case, spaces, dashes and
// underscores.
func plainName(s string) string {
	return strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToLower(s))
}

// The reason codes that each packet may carry (MQTT 5, sections 3.4.2.1,
// 3.9.3 and 3.14.2.1, the latter without those that only a client may send).
var (
	pubackCodes = []pluginapi.ReasonCode{
		pluginapi.UnspecifiedError, pluginapi.ImplementationSpecificError, pluginapi.NotAuthorized,
		pluginapi.TopicNameInvalid, pluginapi.PacketIdentifierInUse, pluginapi.QuotaExceeded, pluginapi.PayloadFormatInvalid,
	}
	subackCodes = []pluginapi.ReasonCode{
		pluginapi.UnspecifiedError, pluginapi.ImplementationSpecificError, pluginapi.NotAuthorized,
		pluginapi.TopicFilterInvalid, pluginapi.PacketIdentifierInUse, pluginapi.QuotaExceeded,
		pluginapi.SharedSubNotSupported, pluginapi.SubscriptionIDsNotSupported, pluginapi.WildcardSubNotSupported,
	}
	notInDisconnect = []pluginapi.ReasonCode{
		pluginapi.UnsupportedProtocolVersion, pluginapi.ClientIdentifierNotValid, pluginapi.BadUserNameOrPassword,
		pluginapi.ServerUnavailable, pluginapi.Banned, pluginapi.BadAuthenticationMethod,
		pluginapi.PacketIdentifierInUse, pluginapi.PacketIdentifierNotFound,
	}
)

// checkRefusal says what is wrong with a code in the answer to a PUBLISH or a
// SUBSCRIBE, "" for nothing. 0 leaves the choice to the broker.
func checkRefusal(on string, code reasonCode) string {
	allowed, packet := pubackCodes, "PUBACK"
	if on == onSubscribe {
		allowed, packet = subackCodes, "SUBACK"
	}
	if code == 0 || slices.Contains(allowed, pluginapi.ReasonCode(code)) {
		return ""
	}
	names := make([]string, len(allowed))
	for i, c := range allowed {
		names[i] = strconv.Quote(c.String())
	}
	return fmt.Sprintf("%s cannot be said in a %s; possible are %s",
		pluginapi.ReasonCode(code), packet, strings.Join(names, ", "))
}

// checkDisconnect does so for a code in a DISCONNECT.
func checkDisconnect(code reasonCode) string {
	if slices.Contains(notInDisconnect, pluginapi.ReasonCode(code)) {
		return fmt.Sprintf("%s cannot be said in a DISCONNECT; leave it out, or take \"not authorized\"", pluginapi.ReasonCode(code))
	}
	return ""
}
