package mqtt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

func TestExpiry(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	m := &mqtt.Message{Created: created, Properties: &mqtt.Properties{Expiry: 10, HasExpiry: true}}
	for _, tt := range []struct {
		after     time.Duration
		expired   bool
		remaining uint32
	}{
		{-time.Hour, false, 10}, // the clock was set back
		{0, false, 10},
		{999 * time.Millisecond, false, 10},
		{time.Second, false, 9},
		{9999 * time.Millisecond, false, 1},
		{10 * time.Second, true, 0},
		{time.Hour, true, 0},
	} {
		now := created.Add(tt.after)
		if got := m.Expired(now); got != tt.expired {
			t.Errorf("after %v: expired is %v", tt.after, got)
		}
		if got := m.RemainingExpiry(now); got != tt.remaining {
			t.Errorf("after %v: %d seconds remain, want %d", tt.after, got, tt.remaining)
		}
	}
	for name, never := range map[string]*mqtt.Message{
		"without properties": {Created: created}, "without expiry": {Created: created, Properties: &mqtt.Properties{}},
	} {
		if _, ok := never.ExpiresAt(); ok || never.Expired(created.Add(1000*time.Hour)) {
			t.Errorf("a message %s expires", name)
		}
	}
	at := &mqtt.Message{Created: created, Properties: &mqtt.Properties{HasExpiry: true}}
	if !at.Expired(created) {
		t.Error("an interval of zero does not expire at once")
	}
}

// A clone shares nothing that is replaced whole.
func TestKept(t *testing.T) {
	lent := []byte("on loan")
	m := &mqtt.Message{Topic: "t", Payload: lent}
	kept := m.Kept()
	copy(lent, "another")
	if kept.Topic != "t" || string(kept.Payload) != "on loan" || string(m.Payload) != "another" {
		t.Errorf("kept %s %q, lent %q", kept.Topic, kept.Payload, m.Payload)
	}
}

func TestClone(t *testing.T) {
	m := &mqtt.Message{Topic: "t", Payload: []byte("p"), Properties: &mqtt.Properties{ContentType: "c"}}
	c := m.Clone()
	c.Topic, c.Payload, c.Properties.ContentType = "u", nil, "d"
	if m.Topic != "t" || string(m.Payload) != "p" || m.Properties.ContentType != "c" {
		t.Errorf("the original is now %+v %+v", m, m.Properties)
	}
	if (&mqtt.Message{}).Clone().Properties != nil {
		t.Error("properties appeared")
	}
}

func TestSize(t *testing.T) {
	m := &mqtt.Message{Topic: "12", Payload: []byte("345"), Properties: &mqtt.Properties{
		ContentType: "6", ResponseTopic: "7", CorrelationData: []byte("8"), User: []mqtt.UserProperty{{Key: "9", Value: "0"}},
	}}
	if got := m.Size(); got != 10 {
		t.Errorf("size %d", got)
	}
}

// Every reason code of the specification has a name of its own.
func TestReasonNames(t *testing.T) {
	seen := make(map[string]mqtt.ReasonCode)
	for c := range 256 {
		code := mqtt.ReasonCode(c)
		name := code.String()
		if other, twice := seen[name]; twice {
			t.Errorf("%#x and %#x are both %q", other, code, name)
		}
		seen[name] = code
		if code.Failed() != (c >= 0x80) {
			t.Errorf("%#x: failed is %v", c, code.Failed())
		}
	}
	if mqtt.BadUserNameOrPassword.String() != "bad user name or password" || !strings.Contains(mqtt.ReasonCode(0x7f).String(), "0x7f") {
		t.Error("wrong names")
	}
}
