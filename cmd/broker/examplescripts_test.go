//go:build unix

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/internal/script"
)

const exampleScripts = "../../examples/scripts"

// scripted starts a broker with the scripts of a folder and nothing else.
func scripted(t *testing.T, files fs.FS) *proc {
	t.Helper()
	s := newSite(t, `plugins:
  script:
    required: true
    scopes: [publish, clients.read, clients.disconnect, sessions.write, subscribe, retained.read, retained.write, shared.read, shared.write]
    interceptor: {timeout: 30s}
    validator: {timeout: 30s}
    config: {folder: scripts, repl: true, limits: {time: 20s, connect_time: 20s}}
`, "script")
	if err := os.CopyFS(s.path("scripts"), files); err != nil {
		t.Fatal(err)
	}
	return s.start()
}

// signed makes a token for the keys of the example.
func signed(t *testing.T, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	body := part(map[string]string{"alg": "HS256", "kid": "example"}) + "." + part(claims)
	mac := hmac.New(sha256.New, []byte("this secret is an example for all to read"))
	mac.Write([]byte(body))
	return body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func member(t *testing.T, name string, publish ...string) string {
	t.Helper()
	if publish == nil {
		publish = []string{"#"}
	}
	return signed(t, map[string]any{
		"sub": name, "aud": "gatehouse", "exp": time.Now().Add(time.Hour).Unix(), "publish": publish, "subscribe": []string{"#"},
	})
}

// login connects a client with a token that permits everything.
func (p *proc) login(t *testing.T, id string) *client5 {
	t.Helper()
	c, _, err := p.dial5(id, "jwt", member(t, id))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every script of examples/scripts does what it says for real clients.
func TestExampleScripts(t *testing.T) {
	p := scripted(t, os.DirFS(exampleScripts))
	sub := p.login(t, "watcher")
	pub := p.login(t, "device")
	refused := func(t *testing.T, code byte, want mqtt.ReasonCode) {
		t.Helper()
		if code != byte(want) {
			t.Errorf("the answer is %#x, want %v", code, want)
		}
	}
	next := func(t *testing.T) message {
		t.Helper()
		select {
		case m := <-sub.got:
			return m
		case <-time.After(patience):
			t.Fatal("nothing came")
			return message{}
		}
	}
	done := map[string]func(t *testing.T){
		"stamp": func(t *testing.T) {
			sub.subscribe("stamped/#", 1)
			before := time.Now().Add(-time.Second).UTC().Format(time.RFC3339)
			pub.publish("stamped/a", 1, false, `{"v": 21.5}`)
			var got struct {
				V  float64
				At string `json:"received_at"`
			}
			if err := json.Unmarshal([]byte(next(t).payload), &got); err != nil || got.V != 21.5 || got.At < before {
				t.Errorf("%+v, %v", got, err)
			}
		},
		"deny": func(t *testing.T) {
			code, _ := pub.publish("my/custom/topic", 1, false, "x")
			refused(t, code, mqtt.NotAuthorized)
			sub.subscribe("my/custom/topic", 1)
			p.login(t, "Someone").publish("my/custom/topic", 1, false, "x")
			expect(t, sub.got, message{"my/custom/topic", "The server injected payload.", 1, false})
			refused(t, subscribeCode(t, pub, "admin/foo/bar"), mqtt.NotAuthorized)
			refused(t, subscribeCode(t, pub, "#"), mqtt.NotAuthorized)
			refused(t, subscribeCode(t, p.login(t, "theAdmin"), "admin/foo/bar"), mqtt.GrantedQoS1)
			spy := p.login(t, "spy")
			_, _ = spy.Subscribe(t.Context(), &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "the/secret/stuff"}}})
			select {
			case <-spy.end:
			case <-spy.lost:
			case <-time.After(patience):
				t.Error("the spy is still connected")
			}
		},
		"jwt_login": func(t *testing.T) {
			for _, bad := range []string{"", "x.y.z", signed(t, map[string]any{"sub": "x", "aud": "gatehouse", "exp": 1})} {
				if _, ack, err := p.dial5("x", "jwt", bad); err == nil || ack == nil || ack.ReasonCode != byte(mqtt.BadUserNameOrPassword) {
					t.Errorf("%q: %v, %+v", bad, err, ack)
				}
			}
			if _, _, err := p.dial5("x", "", ""); err == nil {
				t.Error("somebody without a token is let in")
			}
			if _, err := p.dial3("x3", "jwt", member(t, "x3")); err != nil {
				t.Errorf("MQTT 3.1.1: %v", err)
			}
			narrow, _, err := p.dial5("narrow", "jwt", member(t, "narrow", "mine/#"))
			if err != nil {
				t.Fatal(err)
			}
			code, _ := narrow.publish("yours/a", 1, false, "x")
			refused(t, code, mqtt.NotAuthorized)
		},
		"rate_limit": func(t *testing.T) {
			var codes []byte
			for range 11 { // more than the limit in one of two windows
				code, _ := pub.publish("limited/a", 1, false, "x")
				codes = append(codes, code)
			}
			refused(t, codes[4], mqtt.NoMatchingSubscribers)
			refused(t, codes[10], mqtt.QuotaExceeded)
		},
		"units": func(t *testing.T) {
			sub.subscribe("imperial/#", 1)
			pub.publish("imperial/a", 1, false, `{"temperature_f": 70}`)
			expect(t, sub.got, message{"imperial/a", `{"temperature_c":21.1}`, 1, false})
		},
		"last_value": func(t *testing.T) {
			pub.publish("spBv1.0/plant/DDATA/node/pump", 1, false, `{"metrics": [{"name": "speed", "value": 10}, {"name": "on", "value": true}]}`)
			pub.publish("spBv1.0/plant/DDATA/node/pump", 1, false, `{"metrics": [{"name": "speed", "value": 12}]}`)
			code, _ := pub.publish("spBv1.0/plant/DDATA/node/pump", 1, false, `{}`)
			refused(t, code, mqtt.PayloadFormatInvalid)
			sub.subscribe("last/#", 1)
			for m := next(t); m.payload != `{"on":true,"speed":12}`; m = next(t) {
				if m.topic != "last/plant/node/pump" {
					t.Errorf("%+v", m)
				}
			}
		},
		"presence": func(t *testing.T) {
			sub.subscribe("presence/guest", 1)
			state := func(want string) {
				t.Helper()
				if m := next(t); !strings.Contains(m.payload, `"state":"`+want+`"`) {
					t.Errorf("%+v, want %s", m, want)
				}
			}
			guest := p.login(t, "guest")
			state("online")
			_ = guest.Client.Disconnect(&paho5.Disconnect{})
			state("offline")
		},
		"rewrite": func(t *testing.T) {
			sub.subscribe("old/+/temperature", 1)
			pub.publish("old/kitchen/temperature", 1, false, "21")
			expect(t, sub.got, message{"rooms/kitchen/climate/temperature", "21", 1, false})
		},
		"validate": func(t *testing.T) {
			code, reason := pub.publish("readings/a", 1, false, `{"sensor": "ab-1234", "value": 1000, "unit": "C"}`)
			refused(t, code, mqtt.PayloadFormatInvalid)
			if reason != "value makes no sense" {
				t.Errorf("reason %q", reason)
			}
			code, _ = pub.publish("readings/a", 1, false, `{"sensor": "ab-1234", "value": 10, "unit": "C"}`)
			refused(t, code, mqtt.NoMatchingSubscribers)
		},
	}
	files, err := filepath.Glob(exampleScripts + "/*" + script.Extension)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, script.TestExtension) {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), script.Extension)
		f := done[name]
		if f == nil {
			t.Errorf("%s is not tried with real clients", file)
			continue
		}
		t.Run(name, f)
	}
}

func subscribeCode(t *testing.T, c *client5, filter string) byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ack, err := c.Subscribe(ctx, &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: filter, QoS: 1}}})
	if ack == nil {
		t.Fatal(err)
	}
	return ack.Reasons[0]
}

// The examples pass their own tests and are without fault.
func TestExampleScriptsTestThemselves(t *testing.T) {
	files, err := filepath.Glob(exampleScripts + "/*" + script.Extension)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{out: t.Output(), err: io.Discard}
	if err := (&scriptCheckCmd{Files: files}).Run(term); err != nil {
		t.Error(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, script.TestExtension) {
			continue
		}
		if _, err := os.Stat(strings.TrimSuffix(file, script.Extension) + script.TestExtension); err != nil {
			t.Errorf("%s has no tests", file)
		}
		if err := (&scriptTestCmd{Files: []string{file}}).Run(term); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Scripts are changed under traffic: nobody is disconnected, nothing is lost,
// and what the broker asks the plugin follows; broken ones change nothing and
// show in "broker plugin info".
func TestScriptsChangeUnderTraffic(t *testing.T) {
	p := scripted(t, os.DirFS("testdata/scripts"))
	// The traffic expects what this rule does.
	f := p.traffic(t, "stamp/x", false)
	for n := range 3 {
		p.site.write("scripts/more.star", fmt.Sprintf("def on_intercept_application_message(context):\n    context[\"user_properties\"].append((\"n\", \"%d\"))\n", n))
		p.waitLogs("scripts are taken over", n+1)
	}
	p.site.write("scripts/more.star", "def on_intercept_application_message(context):\n    this is wrong\n")
	p.waitLog("more.star:2:")
	info := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			var out strings.Builder
			if status := run([]string{"plugin", "info", "script", "--run-dir", p.path("run")}, nil, &out, &out); status == 0 && strings.Contains(out.String(), what) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %q in:\n%s", what, out.String())
			}
		}
	}
	info("what was saved is not in force: more.star:2:")
	p.site.write("scripts/more.star", "")
	p.waitLogs("scripts are taken over", 4)
	f.finish()

	// A script that fails has decided nothing.
	p.site.write("scripts/more.star", "def on_intercept_application_message(context):\n    if context[\"topic\"] == \"bad\":\n        context[\"qos\"] = 7\n")
	p.waitLogs("scripts are taken over", 5)
	c := p.connect5("c")
	if code, _ := c.publish("bad", 1, false, "x"); code != byte(mqtt.ImplementationSpecificError) {
		t.Errorf("the answer is %#x", code)
	}
	info(`more.star:3:16: in on_intercept_application_message: qos: it has to be 0, 1 or 2, and 7 is a int`)

	// The interactive session asks the plugin, and that the broker.
	var out, errs strings.Builder
	in := strings.NewReader("1 + 1\n[c[\"client_id\"] for c in clients() if c[\"client_id\"] == \"c\"]\ndef f(x):\n    return x * 2\n\nf(21)\nnothing\n")
	if status := run([]string{"script", "repl", "--run-dir", p.path("run")}, in, &out, &errs); status != 0 || out.String() != "2\n[\"c\"]\n42\n" {
		t.Errorf("status %d, %q, %s", status, out.String(), errs.String())
	}
	if !strings.Contains(errs.String(), "undefined: nothing") {
		t.Errorf("%s", errs.String())
	}
}

// waitLogs waits until the log holds a text as often as n.
func (p *proc) waitLogs(text string, n int) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); strings.Count(p.log(), text) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("the log holds %q %d times, want %d", text, strings.Count(p.log(), text), n)
		}
	}
}
