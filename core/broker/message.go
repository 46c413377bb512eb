package broker

import (
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// sysPrefix begins the topics that only the broker publishes to.
const sysPrefix = "$SYS/"

// reserved reports whether only the broker may publish to a topic. The level
// above $SYS/ is one of them, for "$SYS/#" matches it.
func reserved(name string) bool {
	return strings.HasPrefix(name, sysPrefix) || name == sysPrefix[:len(sysPrefix)-1]
}

// checkTopic says what is wrong with a topic to publish to; "" if nothing is.
func (b *Broker) checkTopic(name string) (wrong string) {
	if err := topic.ValidateName(name); err != nil {
		return err.Error()
	}
	if topic.Levels(name) > b.limits().TopicLevels {
		return "topic has too many levels"
	}
	return ""
}

// checkResponseTopic does the same for the topic that the message wants to be
// answered on [MQTT-3.3.2-14].
func checkResponseTopic(p *mqtt.Properties) (wrong string) {
	if p != nil && p.ResponseTopic != "" && topic.ValidateName(p.ResponseTopic) != nil {
		return "the response topic is not valid"
	}
	return ""
}

// badFormat is the reason for a refusal with PayloadFormatInvalid.
const badFormat = "the payload is not the UTF-8 that it claims to be"

// formatFits reports whether the payload is what its indicator says, if that
// has to be checked.
func (b *Broker) formatFits(payload []byte, p *mqtt.Properties) bool {
	return !b.force.Load().checkFormat || p == nil || !p.PayloadIsUTF8 || utf8.Valid(payload)
}
