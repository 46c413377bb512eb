package clients

import (
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// options are those of a connection, as a library's user gives them.
type options struct {
	Version byte     `json:"version"` // 3, 4 or 5
	ID      string   `json:"id"`
	Clean   bool     `json:"clean"`
	Expiry  uint32   `json:"expiry,omitempty"` // of the session, seconds; MQTT 5
	Will    *message `json:"will,omitempty"`
}

// message is what is published and received. What is below Retain exists in
// MQTT 5 only.
type message struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain"`

	ContentType   string      `json:"contentType,omitempty"`
	ResponseTopic string      `json:"responseTopic,omitempty"`
	Correlation   string      `json:"correlation,omitempty"`
	User          [][2]string `json:"user,omitempty"`
	Expiry        uint32      `json:"expiry,omitempty"`
	UTF8          bool        `json:"utf8,omitempty"`
	IDs           []int       `json:"ids,omitempty"` // subscription identifiers
}

// same compares messages.
func (m message) same(o message) bool {
	return m.Topic == o.Topic && m.Payload == o.Payload && m.QoS == o.QoS && m.Retain == o.Retain &&
		m.ContentType == o.ContentType && m.ResponseTopic == o.ResponseTopic && m.Correlation == o.Correlation &&
		m.UTF8 == o.UTF8 && m.Expiry == o.Expiry && slices.Equal(m.User, o.User) && slices.Equal(m.IDs, o.IDs)
}

// subscription is a filter with its options; those below QoS are MQTT 5's.
type subscription struct {
	Filter            string `json:"filter"`
	QoS               byte   `json:"qos"`
	NoLocal           bool   `json:"noLocal,omitempty"`
	RetainAsPublished bool   `json:"retainAsPublished,omitempty"`
	RetainHandling    byte   `json:"retainHandling,omitempty"`
	ID                int    `json:"id,omitempty"`
}

// connected is what a client knows after CONNACK.
type connected struct {
	Present    bool   `json:"present"`
	AssignedID string `json:"assignedId,omitempty"`
}

// client is one connection of a real client.
type client interface {
	// subscribe returns the code that the broker granted.
	subscribe(s subscription) (code int, err error)
	unsubscribe(filter string) error
	// publish returns when the message is acknowledged, with the reason code
	// if there is one.
	publish(m message) (code int, err error)
	// messages are those that arrive.
	messages() <-chan message
	// ended is closed when the connection is over.
	ended() <-chan struct{}
	// disconnect says goodbye; drop breaks the connection off.
	disconnect() error
	drop()
}

// dialer connects a client.
type dialer func(addr string, o options) (client, connected, error)

// library is a client library.
type library struct {
	name     string
	versions []byte
	open     func(t *testing.T) dialer

	// What a library can't do, or tell.
	noCodes   bool // the reason codes of PUBACK and PUBREC
	plainWill bool // of a will's properties it sends those of the user only
	byKey     bool // it keeps user properties by key, not in their order
}

var libraries = []library{
	{name: "paho.golang", versions: []byte{5}, open: openPaho5, plainWill: true},
	{name: "paho.mqtt.golang", versions: []byte{3, 4}, open: openPaho3},
	{name: "paho-python", versions: []byte{3, 4, 5}, open: openPython, noCodes: true},
	{name: "MQTT.js", versions: []byte{3, 4, 5}, open: openJS, noCodes: true, byKey: true},
}

// teller tells a story with one library in one version.
type teller struct {
	*testing.T
	addr    string
	dial    dialer
	library library
	version byte
	prefix  string // of its topics and client identifiers
}

// who is a client in a story, with what a story checks.
type who struct {
	client
	connected
	t    *teller
	name string
}

// connect connects a client; change may ask for more than a clean session.
func (t *teller) connect(name string, change ...func(*options)) *who {
	t.Helper()
	o := options{Version: t.version, ID: t.prefix + name, Clean: true}
	for _, f := range change {
		f(&o)
	}
	c, info, err := t.dial(t.addr, o)
	if err != nil {
		t.Fatalf("%s: connect: %v", name, err)
	}
	t.Cleanup(func() { _ = c.disconnect() })
	return &who{client: c, connected: info, t: t, name: name}
}

// lasting asks for a session that stays.
func lasting(o *options) {
	o.Clean = false
	if o.Version == 5 {
		o.Expiry = 3600
	}
}

// topic makes a topic or filter of the story's own.
func (t *teller) topic(s string) string { return t.prefix + "/" + s }

func (w *who) sub(s subscription) {
	w.t.Helper()
	code, err := w.subscribe(s)
	if err != nil || code != int(s.QoS) {
		w.t.Fatalf("%s: subscribe %+v: code %d, %v", w.name, s, code, err)
	}
}

// pub publishes a message; the broker has handled it when pub returns.
func (w *who) pub(m message) {
	w.t.Helper()
	list := []message{m}
	if m.QoS == 0 { // no answer comes, but one to the next message
		list = append(list, message{Topic: "handled", QoS: 1})
	}
	for _, m := range list {
		if code, err := w.publish(m); err != nil || code >= 0x80 {
			w.t.Fatalf("%s: publish %+v: code %d, %v", w.name, m, code, err)
		}
	}
}

// next returns the next message.
func (w *who) next() message {
	w.t.Helper()
	select {
	case m := <-w.messages():
		return m
	case <-w.ended():
		w.t.Fatalf("%s: the connection ended, waiting for a message", w.name)
	case <-time.After(program.Patience):
		w.t.Fatalf("%s: no message came", w.name)
	}
	return message{}
}

// gets expects messages in this order.
func (w *who) gets(want ...message) {
	w.t.Helper()
	for _, m := range want {
		if got := w.next(); !got.same(m) {
			w.t.Fatalf("%s: got  %+v\nwant %+v", w.name, got, m)
		}
	}
}

// bye disconnects and waits for the end.
func (w *who) bye() {
	w.t.Helper()
	if err := w.disconnect(); err != nil {
		w.t.Fatalf("%s: disconnect: %v", w.name, err)
	}
	w.ends()
}

// ends waits for the end of the connection.
func (w *who) ends() {
	w.t.Helper()
	select {
	case <-w.ended():
	case <-time.After(program.Patience):
		w.t.Fatalf("%s: the connection did not end", w.name)
	}
}
