package session_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// The rules for Topic Alias in a PUBLISH from the client, section 3.3.2.3.4.
func TestResolveAlias(t *testing.T) {
	tests := []struct {
		name     string
		topic    string
		alias    uint16
		hasAlias bool
		want     string
		code     mqtt.ReasonCode
	}{
		{"no alias", "a/b", 0, false, "a/b", mqtt.Success},
		{"no alias and no topic", "", 0, false, "", mqtt.ProtocolError},
		{"alias 0 [MQTT-3.3.2-8]", "a/b", 0, true, "", mqtt.TopicAliasInvalid},
		{"above the maximum [MQTT-3.3.2-9]", "a/b", 6, true, "", mqtt.TopicAliasInvalid},
		{"the maximum [MQTT-3.3.2-10]", "a/b", 5, true, "a/b", mqtt.Success},
		{"known", "", 1, true, "known", mqtt.Success},
		{"known, set anew", "other", 1, true, "other", mqtt.Success},
		{"never set", "", 2, true, "", mqtt.ProtocolError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := attached(session.Limits{AliasMaximum: 5})
			s.ResolveAlias("known", 1, true)
			got, code := s.ResolveAlias(tt.topic, tt.alias, tt.hasAlias)
			equal(t, got, tt.want)
			equal(t, code, tt.code)
			if code == mqtt.Success && tt.hasAlias {
				got, _ = s.ResolveAlias("", tt.alias, true)
				equal(t, got, tt.want)
			}
		})
	}
}

// [MQTT-3.3.2-7]: no mapping outlives its connection.
func TestResolveAliasForgetsWithTheConnection(t *testing.T) {
	s := attached(session.Limits{AliasMaximum: 5})
	s.ResolveAlias("known", 1, true)
	reattach(s, 0)
	_, code := s.ResolveAlias("", 1, true)
	equal(t, code, mqtt.ProtocolError)
	s.Detach()
	_, code = s.ResolveAlias("", 1, true)
	equal(t, code, mqtt.TopicAliasInvalid)
	s.Attach(session.Attachment{Version: mqtt.V311}) // which has no aliases
	_, code = s.ResolveAlias("topic", 1, true)
	equal(t, code, mqtt.TopicAliasInvalid)
}

// outbound makes a session whose client accepts aliases up to maximum.
func outbound(maximum uint16) *session.Session {
	s := session.New("client", session.Limits{})
	s.Attach(session.Attachment{Version: mqtt.V5, AliasMaximum: maximum})
	return s
}

// assigned renders what Alias returns as "alias", with "!" if the topic is
// left out.
func assigned(s *session.Session, topic string) string {
	alias, omit := s.Alias(topic)
	if omit {
		return fmt.Sprint(alias, "!")
	}
	return fmt.Sprint(alias)
}

// [MQTT-3.3.2-11]: never an alias above the client's maximum; the topic goes
// with the first PUBLISH that carries the alias.
func TestAlias(t *testing.T) {
	s := outbound(2)
	equal(t, assigned(s, "first"), "1")
	equal(t, assigned(s, "first"), "1!")
	equal(t, assigned(s, "second"), "2")
	equal(t, assigned(s, "second"), "2!")
	equal(t, assigned(s, "first"), "1!")
	equal(t, assigned(s, "abc"), "0") // not longer than the property

	// All are taken: a topic that comes once gets none, one that comes again
	// replaces one that was not used lately.
	equal(t, assigned(s, "third"), "0")
	equal(t, assigned(s, "third"), "1")
	equal(t, assigned(s, "third"), "1!")
	equal(t, assigned(s, "second"), "2!")
	equal(t, assigned(s, "first"), "0")
}

func TestAliasNotAccepted(t *testing.T) {
	equal(t, assigned(outbound(0), "topic"), "0")
	s := session.New("client", session.Limits{})
	equal(t, assigned(s, "topic"), "0")
	s.Unalias("topic")
	s.Attach(session.Attachment{Version: mqtt.V311, AliasMaximum: 10})
	equal(t, assigned(s, "topic"), "0")
	s.Unalias("topic")
}

// [MQTT-3.3.2-7]: a retransmission over a new connection cannot use an alias
// of the old one.
func TestAliasForgetsWithTheConnection(t *testing.T) {
	s := outbound(10)
	equal(t, assigned(s, "topic"), "1")
	equal(t, assigned(s, "topic"), "1!")
	s.Detach()
	s.Attach(session.Attachment{Version: mqtt.V5, AliasMaximum: 10})
	equal(t, assigned(s, "topic"), "1")
}

// A PUBLISH that was not written told the client nothing.
func TestUnalias(t *testing.T) {
	s := outbound(1)
	equal(t, assigned(s, "topic"), "1")
	s.Unalias("topic")
	s.Unalias("other")
	equal(t, assigned(s, "topic"), "0") // the only alias is not yet known to be free
	equal(t, assigned(s, "topic"), "1")
	equal(t, assigned(s, "topic"), "1!")
}

// However many topics pass, what the client knows of each alias is what we
// believe it to know, and an alias is never above the maximum.
func TestAliasAgreesWithTheClient(t *testing.T) {
	for _, maximum := range []uint16{1, 7, 128, 65535} {
		s := outbound(maximum)
		client := map[uint16]string{}
		omitted := 0
		for i := range 20000 {
			topic := fmt.Sprint("topic/", (i*i+i/3)%(5+i/50))
			alias, omit := s.Alias(topic)
			if alias > min(maximum, 128) {
				t.Fatalf("alias %d", alias)
			}
			switch {
			case i%11 == 3: // was not written
				s.Unalias(topic)
			case omit:
				omitted++
				if client[alias] != topic {
					t.Fatalf("alias %d is %q for the client, want %q", alias, client[alias], topic)
				}
			case alias != 0:
				client[alias] = topic
			}
		}
		if omitted == 0 {
			t.Errorf("no topic was ever left out with a maximum of %d", maximum)
		}
	}
}

// A client that receives more topics in turn than it has aliases is not told
// a new alias with every message.
func TestAliasDoesNotThrash(t *testing.T) {
	s := outbound(10)
	told := 0
	for i := range 100_000 {
		if alias, omit := s.Alias(strings.Repeat("x", 4) + fmt.Sprint(i%5000)); alias != 0 && !omit {
			told++
		}
	}
	if told > 1000 {
		t.Errorf("told the client %d times", told)
	}
}
