package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/password"
)

// A session has the durability that the users file gives its user, not the
// broker's, also after the broker was killed, and has lost nothing then; one of a
// user of whom the file says nothing has that of the broker, or its listener.
func TestDurabilityStays(t *testing.T) {
	t.Parallel()
	hash, err := password.Hash([]byte("secret"), password.Params{Memory: 8, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for broker, chosen := range map[string]string{"none": "sync", "sync": "none"} {
		t.Run(chosen+" of "+broker, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "sessions: {durability: "+broker+"}\n"+
				"plugins: {authfile: {config: {file: users.yaml}}}\n", "authfile")
			s.write("users.yaml", fmt.Sprintf("roles: {chosen: {durability: %s}}\nanonymous: {allow: {both: '#'}}\n"+
				"users: [{name: alice, password: '%s', allow: {both: '#'}, roles: chosen}]\n", chosen, hash))
			p := s.start()
			b := brokertest.At(t, p.addr)
			alice := func(c *packet.Connect) {
				brokertest.Resume(c)
				c.HasUsername, c.Username, c.HasPassword, c.Password = true, "alice", true, []byte("secret")
			}
			for id, mod := range map[string]func(*packet.Connect){"hers": alice, "other": brokertest.Resume} {
				c := b.Connect(id, mod)
				c.Subscribe(1, "q/#")
				c.Disconnect()
			}
			const n = 100
			pub := b.Connect("pub")
			for i := range n {
				pub.Publish(mqtt.Message{Topic: "q/x", Payload: []byte(fmt.Sprint(i)), QoS: 1}, mqtt.Success)
			}
			p.kill()
			p = s.start()
			for id, want := range map[string]string{"hers": chosen, "other": broker} {
				if out := p.does("session", "get", id); !strings.Contains(out, "durability") || !strings.HasSuffix(lineWith(out, "durability"), want) {
					t.Errorf("the session of %s has not %s:\n%s", id, want, out)
				}
			}
			b = brokertest.At(t, p.addr)
			hers, ack := b.TryConnect("hers", alice)
			if !ack.SessionPresent {
				t.Fatal("the session is gone")
			}
			for i := range n {
				hers.ExpectMessage("q/x", fmt.Sprint(i))
			}
		})
	}
}

// lineWith is the first line of a text that has a word, without the blanks around
// it.
func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
