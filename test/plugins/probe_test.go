package plugins

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// probe makes a plugin of a program in testdata and the helper of an example.
func probe(t *testing.T, name, helper, script string, interpreter ...string) (folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), name)
	program.Copy(t, helper, folder)
	text, err := os.ReadFile(filepath.Join("testdata", script))
	if err != nil {
		t.Fatal(err)
	}
	main := "main" + filepath.Ext(script)
	if err := os.WriteFile(filepath.Join(folder, main), text, 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := program.Run(t, folder, nil, interpreter[0], append(interpreter[1:], main, "describe")...)
	if err := os.WriteFile(filepath.Join(folder, "plugin.json"), manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// eachProbe runs a test with the probe in each language.
func eachProbe(t *testing.T, config string, test func(*site)) {
	t.Helper()
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		test(start(t, probe(t, "probe", example(t, "python-validator"), "probe.py", python(t), "-B"), config))
	})
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		test(start(t, probe(t, "probe", nodeExample(t), "probe.js", program.Need(t, "node", "nodejs")), config))
	})
}

// counting is a client's side of the method COUNT.
type counting struct{ answers []string }

// Authenticate answers a challenge.
func (c *counting) Authenticate(a *paho.Auth) *paho.Auth {
	answer := ""
	if len(c.answers) > 0 {
		answer, c.answers = c.answers[0], c.answers[1:]
	}
	return &paho.Auth{ReasonCode: 0x18, Properties: &paho.AuthProperties{AuthMethod: a.Properties.AuthMethod, AuthData: []byte(answer)}}
}

// Authenticated is told that it was let in.
func (*counting) Authenticated() {}

// connect connects, with enhanced authentication if there is a method.
func (s *site) connect(ctx context.Context, id, method, first string, answers ...string) (*paho.Client, *paho.Connack, error) {
	s.Helper()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(s.b.Addr, "tcp://"))
	if err != nil {
		s.Fatal(err)
	}
	c := paho.NewClient(paho.ClientConfig{Conn: conn, AuthHandler: &counting{answers}})
	cp := &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 60}
	cp.Properties = &paho.ConnectProperties{SessionExpiryInterval: new(uint32(60)), RequestProblemInfo: true}
	if method != "" {
		cp.Properties = &paho.ConnectProperties{AuthMethod: method, AuthData: []byte(first)}
	}
	ack, err := c.Connect(ctx, cp)
	if err == nil {
		s.Cleanup(func() { _ = c.Disconnect(&paho.Disconnect{}) })
	}
	return c, ack, err
}

// Enhanced authentication in Python and Node: two rounds, then the decision with
// data; a wrong answer; a method that it does not know; a client that goes away in
// the middle, after which others are served.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	eachProbe(t, "", func(s *site) {
		ctx, cancel := context.WithTimeout(s.Context(), program.Patience)
		defer cancel()
		for _, tt := range []struct {
			method, first string
			answers       []string
			code          byte
			data          string
		}{
			{"COUNT", "hello", []string{"two", "three"}, 0, "hello two three"},
			{"COUNT", "hello", []string{"two", "four"}, 0x87, ""},
			{"ELSE", "hello", nil, 0x8c, ""},
		} {
			_, ack, err := s.connect(ctx, "me", tt.method, tt.first, tt.answers...)
			if ack == nil || ack.ReasonCode != tt.code || (err == nil) != (tt.code == 0) {
				s.Fatalf("%+v: answered %+v, %v", tt, ack, err)
			}
			if tt.code == 0 && (string(ack.Properties.AuthData) != tt.data || ack.Properties.AuthMethod != "COUNT") {
				s.Errorf("%+v: answered with %q", tt, ack.Properties.AuthData)
			}
		}
		gone, err := net.Dial("tcp", strings.TrimPrefix(s.b.Addr, "tcp://"))
		if err != nil {
			s.Fatal(err)
		}
		// CONNECT with the method COUNT, and no answer to the AUTH that follows.
		if _, err := gone.Write([]byte("\x10\x1a\x00\x04MQTT\x05\x02\x00\x3c\x08\x15\x00\x05COUNT\x00\x05leave")); err != nil {
			s.Fatal(err)
		}
		if n, err := gone.Read(make([]byte, 64)); err != nil || n == 0 {
			s.Fatalf("no AUTH came: %v", err)
		}
		_ = gone.Close()
		if _, ack, err := s.connect(ctx, "next", "COUNT", "hello", "two", "three"); err != nil || ack.ReasonCode != 0 {
			s.Errorf("after a client that went away: %+v, %v", ack, err)
		}
		if st := s.status(); !st.ready() || st.LastFailure != "" {
			s.Errorf("%+v", st)
		}
	})
}

// The host client of Python and Node: what a plugin asks of the broker from inside
// of a hook comes back, and what its scopes do not permit is refused.
func TestHostClient(t *testing.T) {
	t.Parallel()
	const scopes = "    scopes: [publish, clients.read, sessions.read, retained.read, retained.write, shared.read, shared.write]\n"
	eachProbe(t, scopes, func(s *site) {
		ctx, cancel := context.WithTimeout(s.Context(), program.Patience)
		defer cancel()
		c, _, err := s.connect(ctx, "me", "", "")
		if err != nil {
			s.Fatal(err)
		}
		sub := s.run("mosquitto_sub", "-d", "-q", "1", "-t", "made/#", "-C", "1", "-F", "%t %p %q")
		sub.WaitOutput("that it has subscribed", func(out string) bool { return strings.Contains(out, "Subscribed (mid: ") })
		for _, tt := range []struct{ topic, payload, want string }{
			{"ask/publish", "made/x", "receivers 1 or later"},
			{"ask/client", "me", "me at level 5"},
			{"ask/client", "nobody", "NOT_FOUND"},
			{"ask/clients", "", "me among them"},
			{"ask/durability", "me", "DURABILITY_NONE"},
			{"ask/retain", "kept/x", "revision"},
			{"ask/retained", "kept/x", "kept/x=kept"},
			{"ask/retained-list", "kept/#", "kept/x"},
			{"ask/share", "k", "written"},
			{"ask/shared", "k", "shared at version 1"},
			{"ask/disconnect", "me", "PERMISSION_DENIED"},
		} {
			res, err := c.Publish(ctx, &paho.Publish{Topic: tt.topic, QoS: 1, Payload: []byte(tt.payload)})
			if res == nil || res.Properties == nil || !strings.Contains(res.Properties.ReasonString, tt.want) {
				s.Errorf("%s %s: answered %v (%v), not %q", tt.topic, tt.payload, reasonOf(res), err, tt.want)
			}
		}
		if out, code := sub.Wait(); code != 0 || !strings.Contains(out, "made/x of the plugin 1") {
			s.Errorf("exit code %d:\n%s", code, out)
		}
		s.expect("kept/x kept", true, "mosquitto_sub", "-t", "kept/#", "-C", "1", "-v")
	})
}

func reasonOf(r *paho.PublishResponse) string {
	if r == nil || r.Properties == nil {
		return fmt.Sprint(r)
	}
	return fmt.Sprintf("%#x %q", r.ReasonCode, r.Properties.ReasonString)
}
