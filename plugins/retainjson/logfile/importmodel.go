package logfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// byteOrderMark is what .NET may begin a file with.
const byteOrderMark = "\ufeff"

// retainedModel is one element of the array that the retained-messages sample
// of MQTTnet writes (MqttRetainedMessageModel). Fields that it does not know
// are ignored: older samples wrote the whole message. What they wrote of its
// expiry is of no use without the time at which it began, and is left out as
// the sample does.
type retainedModel struct {
	Topic                  string
	Payload                byteArray
	QualityOfServiceLevel  qualityOfService
	ContentType            string
	ResponseTopic          string
	CorrelationData        byteArray
	PayloadFormatIndicator formatIndicator
	UserProperties         []userProperty
}

type userProperty struct {
	Name        string
	Value       *string
	ValueBuffer byteArray // of newer versions, in place of Value
}

// errModel is what an element is refused with.
var errModel = errors.New("not a retained message")

// byteArray is a byte[] of .NET: base64, or an array of numbers.
type byteArray []byte

// UnmarshalJSON reads either form.
func (b *byteArray) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		var numbers []uint8OfJSON
		if err := json.Unmarshal(text, &numbers); err != nil {
			return fmt.Errorf("%w: bytes: %w", errModel, err)
		}
		*b = make(byteArray, len(numbers))
		for i, n := range numbers {
			(*b)[i] = byte(n)
		}
		return nil
	}
	var data []byte
	if err := json.Unmarshal(text, &data); err != nil {
		return fmt.Errorf("%w: bytes are neither base64 nor an array of numbers: %w", errModel, err)
	}
	*b = data
	return nil
}

// uint8OfJSON keeps encoding/json from taking a list of bytes for base64.
type uint8OfJSON uint8

// UnmarshalJSON reads a number from 0 to 255.
func (n *uint8OfJSON) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, (*uint8)(n)) }

// qualityOfService is a number, or its name in MQTTnet.
type qualityOfService uint8

// UnmarshalJSON reads either.
func (q *qualityOfService) UnmarshalJSON(text []byte) error {
	n, err := enumValue(text, "AtMostOnce", "AtLeastOnce", "ExactlyOnce")
	*q = qualityOfService(n)
	return err
}

// formatIndicator likewise.
type formatIndicator uint8

// UnmarshalJSON reads either.
func (f *formatIndicator) UnmarshalJSON(text []byte) error {
	n, err := enumValue(text, "Unspecified", "CharacterData")
	*f = formatIndicator(n)
	return err
}

// enumValue reads the place of a name, or the place itself.
func enumValue(text []byte, names ...string) (int, error) {
	var n int
	if string(text) == "null" {
		return 0, nil
	}
	if err := json.Unmarshal(text, &n); err == nil && n >= 0 && n < len(names) {
		return n, nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err == nil {
		for i, name := range names {
			if strings.EqualFold(s, name) {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: %s is none of %s", errModel, text, strings.Join(names, ", "))
}

// message makes the message that the element is about. A retained message has
// the flag, whatever was written.
func (r *retainedModel) message(now time.Time) (*pluginapi.Message, error) {
	switch {
	case r.Topic == "":
		return nil, fmt.Errorf("%w: it has no Topic", errModel)
	case len(r.Topic) > 65535 || !utf8.ValidString(r.Topic) || strings.ContainsAny(r.Topic, "+#\x00"):
		return nil, fmt.Errorf("%w: %q is not the name of a topic", errModel, r.Topic)
	}
	m := &pluginapi.Message{
		Topic: r.Topic, Payload: r.Payload, PayloadSize: len(r.Payload), QoS: pluginapi.QoS(r.QualityOfServiceLevel), Retain: true,
		ContentType: r.ContentType, ResponseTopic: r.ResponseTopic, CorrelationData: r.CorrelationData, Created: now,
	}
	if r.PayloadFormatIndicator == 1 {
		isText := true
		m.PayloadIsUTF8 = &isText
	}
	for _, u := range r.UserProperties {
		p := pluginapi.UserProperty{Key: u.Name, Value: string(u.ValueBuffer)}
		if u.Value != nil {
			p.Value = *u.Value
		}
		if !utf8.ValidString(p.Value) {
			return nil, fmt.Errorf("%w: user property %q is not UTF-8", errModel, p.Key)
		}
		m.UserProperties = append(m.UserProperties, p)
	}
	return m, nil
}
