// Package messagejson is how the stores of retained messages write a message
// as JSON, its topic and payload left out: those are each store's own matter.
package messagejson

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Fields are those of a message. Embed them in the object that is written; the
// names are part of the file formats, so they only become more.
type Fields struct {
	QoS           uint8       `json:"qos,omitempty"`
	Retain        bool        `json:"retain,omitempty"`
	Created       time.Time   `json:"created,omitzero"`
	Expiry        *uint32     `json:"expiry,omitempty"` // seconds after Created
	UTF8          *bool       `json:"utf8,omitempty"`
	ContentType   string      `json:"content_type,omitempty"`
	ResponseTopic string      `json:"response_topic,omitempty"`
	Correlation   []byte      `json:"correlation,omitzero"`
	User          [][2]string `json:"user,omitempty"`
	Publisher     string      `json:"publisher,omitempty"`
	Origin        string      `json:"origin,omitempty"`
}

// Of returns the fields of m. The error says that a string is not UTF-8, so that
// it cannot be written.
func Of(m *pluginapi.Message) (Fields, error) {
	f := Fields{
		QoS: uint8(m.QoS), Retain: m.Retain,
		Created: m.Created.UTC(), Expiry: m.Expiry,
		UTF8: m.PayloadIsUTF8, ContentType: m.ContentType,
		ResponseTopic: m.ResponseTopic, Correlation: m.CorrelationData,
		Publisher: m.Publisher, Origin: originName(m.Origin),
	}
	valid := utf8.ValidString(m.ContentType) && utf8.ValidString(m.ResponseTopic) && utf8.ValidString(m.Publisher)
	for _, u := range m.UserProperties {
		f.User = append(f.User, [2]string{u.Key, u.Value})
		valid = valid && utf8.ValidString(u.Key) && utf8.ValidString(u.Value)
	}
	if !valid {
		return Fields{}, fmt.Errorf("message to %q has a string that is not valid UTF-8", m.Topic)
	}
	return f, nil
}

// Message returns the message of topic and payload that has these fields. It
// keeps payload.
func (f *Fields) Message(topic string, payload []byte) *pluginapi.Message {
	m := &pluginapi.Message{
		Topic:           topic,
		Payload:         payload,
		PayloadSize:     len(payload),
		QoS:             pluginapi.QoS(f.QoS),
		Retain:          f.Retain,
		PayloadIsUTF8:   f.UTF8,
		Expiry:          f.Expiry,
		ContentType:     f.ContentType,
		ResponseTopic:   f.ResponseTopic,
		CorrelationData: f.Correlation,
		Publisher:       f.Publisher,
		Origin:          parseOrigin(f.Origin),
		Created:         f.Created,
	}
	for _, u := range f.User {
		m.UserProperties = append(m.UserProperties, pluginapi.UserProperty{Key: u[0], Value: u[1]})
	}
	return m
}

var originNames = map[pluginapi.Origin]string{
	pluginapi.FromClient: "client",
	pluginapi.FromWill:   "will",
	pluginapi.FromServer: "server",
	pluginapi.FromPlugin: "plugin",
}

func originName(o pluginapi.Origin) string {
	if s, ok := originNames[o]; ok || o == 0 {
		return s
	}
	return strconv.Itoa(int(o))
}

// parseOrigin returns 0 for a name that it does not know.
func parseOrigin(s string) pluginapi.Origin {
	for o, name := range originNames {
		if s == name {
			return o
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0
	}
	return pluginapi.Origin(n)
}
