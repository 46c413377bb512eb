package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// startCaller starts a broker with a caller that has the given scopes.
func startCaller(t *testing.T, more string, scopes ...string) (*proc, *brokertest.Broker) {
	t.Helper()
	cfg := fmt.Sprintf("%splugins:\n  caller:\n    scopes: [%s]\n    interceptor: {timeout: 30s}\n", more, strings.Join(scopes, ", "))
	p := newSite(t, cfg, "caller").start()
	return p, brokertest.At(t, p.addr)
}

// ask has the caller make a call and returns what came of it.
func ask(t *testing.T, c *brokertest.Client, topic, args string) string {
	t.Helper()
	c.Send(&packet.Publish{ID: 9, Message: mqtt.Message{Topic: topic, Payload: []byte(args), QoS: 1}})
	ack, ok := c.Next().(*packet.Ack)
	if !ok {
		t.Fatalf("%s %s: no PUBACK", topic, args)
	}
	return ack.Reason
}

// Every call of the host service, by a real plugin, from inside of a hook and
// from outside of one.
func TestHostService(t *testing.T) {
	p, b := startCaller(t, "", pluginhost.Scopes()...)
	ctl := b.Connect("ctl")
	for _, where := range []string{"in", "out"} {
		t.Run(where, func(t *testing.T) {
			c, away := b.In(t).Connect("c", brokertest.Resume), b.In(t).Connect("away", brokertest.Resume)
			away.Disconnect()
			for _, step := range []struct {
				call, args, want string
				then             func()
			}{
				{call: "clients.all", want: `["c","ctl"]`},
				{call: "clients.get", args: "c", want: `["c",5,true,true]`},
				{call: "clients.get", args: "away", want: `error not found|not found: there is no connected client "away"`},
				{call: "sessions.all", want: `["away","c","ctl"]`},
				{call: "sessions.subscribe", args: "c s/#", want: `[1]`},
				{call: "sessions.subscribe", args: "c a/#/b", want: `[143]`},
				{call: "sessions.subscribe", args: "away s/#", want: `[1]`},
				{call: "sessions.subscribe", args: "nobody s", want: `error not found|not found: there is no such client`},
				{call: "publish", args: "s/1 hello", then: func() { c.ExpectMessage("s/1", "hello") }},
				{call: "publish", args: "s/# x", want: `error not valid|not valid: topic "s/#": topic name contains a wildcard`},
				{call: "sessions.get", args: "away", want: `["away",false,3600,1,1]`},
				{call: "sessions.enqueue", args: "away direct 1", want: `{"Queued":true,"Sent":false,"PacketID":0,"Acknowledged":false,"Code":0,"Dropped":""}`},
				{call: "sessions.clear", args: "away", want: `2`},
				{call: "sessions.unsubscribe", args: "c s/#", want: `[0]`},
				{call: "sessions.unsubscribe", args: "c s/#", want: `[17]`},
				{call: "sessions.items", args: "c level 5", want: `{"level":"NQ=="}`},
				{call: "sessions.items", args: "c other 6 level", want: `{"other":"Ng=="}`},
				{call: "clients.revalidate", args: "c", want: `null`},
				{call: "retained.put", args: "r/1 one", want: `true`},
				{call: "retained.put", args: "r/2 two", want: `true`},
				{call: "retained.put", args: "q three", want: `true`},
				{call: "retained.get", args: "r/1", want: `"one"`},
				{call: "retained.all", want: `["q","r/1","r/2"]`},
				{call: "retained.all", args: "r/#", want: `["r/1","r/2"]`},
				{call: "retained.delete", args: "r/#", want: `2`},
				{call: "retained.get", args: "r/1", want: `error not found|not found: there is no retained message of topic "r/1"`},
				{call: "retained.delete", args: "#/r", want: `error not valid|not valid: filter "#/r": '#' is not the last level`},
				{call: "retained.clear", want: `1`},
				{call: "shared.putif", args: "k v0 7", want: `[false,0]`},
				{call: "shared.putif", args: "k v1 0"},
				{call: "shared.get", args: "none", want: `["",0]`},
				{call: "shared.put", args: "k v2"},
				{call: "shared.deleteif", args: "k - 999", then: func() {}},
				{call: "shared.delete", args: "k", want: `null`},
				{call: "shared.get", args: "k", want: `["",0]`},
				{call: "sessions.delete", args: "away", want: `null`, then: func() {
					for deadline := time.Now().Add(patience); ask(t, ctl, "out/sessions.all", "") != `["c","ctl"]`; {
						if time.Now().After(deadline) {
							t.Fatal("the session does not end")
						}
					}
				}},
				{call: "clients.disconnect", args: "c out", want: `null`, then: func() {
					c.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "out", User: []mqtt.UserProperty{{Key: "k", Value: "v"}}})
				}},
				{call: "sessions.delete", args: "nobody", want: `error not found|not found: there is no such client`},
			} {
				got := ask(t, ctl, where+"/"+step.call, step.args)
				if step.want != "" && got != step.want || step.want == "" && strings.HasPrefix(got, "error") {
					t.Errorf("%s %s: got %s, want %s", step.call, step.args, got, step.want)
				}
				if step.then != nil {
					step.then()
				}
			}
			b.In(t).Connect("c").Disconnect() // ends that session
		})
	}
	p.stop()
}

// A plugin waits for the acknowledgement of one receiver.
func TestHostServiceDeliver(t *testing.T) {
	_, b := startCaller(t, "", "sessions.write")
	ctl, c := b.Connect("ctl"), b.Connect("c")
	ctl.Send(&packet.Publish{ID: 9, Message: mqtt.Message{Topic: "out/sessions.deliver", Payload: []byte("c direct d"), QoS: 1}})
	id := c.ExpectMessage("direct", "d").ID
	want := fmt.Sprintf(`{"Queued":true,"Sent":true,"PacketID":%d,"Acknowledged":true,"Code":0,"Dropped":""}`, id)
	if ack, ok := ctl.Next().(*packet.Ack); !ok || ack.Reason != want {
		t.Errorf("got %+v, want %s", ack, want)
	}
}

// Items that a plugin sets are shown to it with the client's next message.
func TestHostServiceItems(t *testing.T) {
	_, b := startCaller(t, "", "sessions.write")
	c := b.Connect("c")
	if got := ask(t, c, "items", ""); got != `null` && got != `{}` {
		t.Errorf("before: %s", got)
	}
	ask(t, c, "in/sessions.items", "c level 5")
	if got := ask(t, c, "items", ""); got != `{"level":"NQ=="}` {
		t.Errorf("after: %s", got)
	}
}

// The server's own session has items too, which every hook can ask for.
func TestHostServiceServerItems(t *testing.T) {
	_, b := startCaller(t, "", "sessions.read", "sessions.write")
	c := b.Connect("c")
	if got := ask(t, c, "in/server.items", ""); got != `null` && got != `{}` {
		t.Errorf("before: %s", got)
	}
	ask(t, c, "out/server.set", "site berlin")
	ask(t, c, "in/server.set", "level 5")
	if got := ask(t, c, "in/server.items", ""); got != `{"level":"NQ==","site":"YmVybGlu"}` {
		t.Errorf("after: %s", got)
	}
	if got := ask(t, c, "items", ""); got != `null` && got != `{}` {
		t.Errorf("the client has %s", got)
	}
	if got := ask(t, c, "in/sessions.all", ""); got != `["c"]` {
		t.Errorf("sessions are %s", got)
	}
}

// A client's counters begin anew when a plugin asks for it.
func TestHostServiceResetStatistics(t *testing.T) {
	_, b := startCaller(t, "", "clients.read", "clients.reset")
	ctl, c := b.Connect("ctl"), b.Connect("c")
	c.Publish(mqtt.Message{Topic: "free", QoS: 1}, mqtt.NoMatchingSubscribers)
	if got := ask(t, ctl, "out/clients.received", "c"); got != "1" {
		t.Errorf("received %s", got)
	}
	if got := ask(t, ctl, "in/clients.reset", "c"); got != "null" {
		t.Errorf("reset says %s", got)
	}
	if got := ask(t, ctl, "out/clients.received", "c"); got != "0" {
		t.Errorf("received %s", got)
	}
	if got := ask(t, ctl, "out/clients.reset", "nobody"); !strings.HasPrefix(got, "error not found|") {
		t.Errorf("reset says %s", got)
	}
}

// A plugin stops the broker: clients are told why and where to go, and the
// broker ends as it does by a signal.
func TestHostServiceStop(t *testing.T) {
	p, b := startCaller(t, "", "stop")
	ctl, other := b.Connect("ctl"), b.Connect("other")
	ctl.Send(&packet.Publish{ID: 9, Message: mqtt.Message{Topic: "out/stop", Payload: []byte("maintenance other.example.com:1883"), QoS: 1}})
	other.Expect(&packet.Disconnect{
		Code: mqtt.UseAnotherServer, Reason: "maintenance", ServerReference: "other.example.com:1883", User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
	})
	p.wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the broker ended with status %d", code)
	}
}

// A running plugin changes what it is asked. It needs no scope for that.
func TestHostServiceInterest(t *testing.T) {
	_, b := startCaller(t, "")
	c := b.Connect("c")
	// A hook cannot wait for it: calls that were made before are answered first.
	change := func(filter string) string {
		ask(t, c, "later/interest", filter)
		for deadline := time.Now().Add(patience); ; {
			if got := ask(t, c, "result", ""); got != "" {
				return got
			}
			if time.Now().After(deadline) {
				t.Fatal("no answer")
			}
		}
	}
	if got := ask(t, c, "asked", ""); got != "" {
		t.Errorf("asked before: %s", got)
	}
	if got := change("asked"); got != "null" {
		t.Errorf("got %s", got)
	}
	if got := ask(t, c, "asked", ""); got != "asked" {
		t.Errorf("not asked: %q", got)
	}
	if got := change("a/#/b"); !strings.HasPrefix(got, "error not valid|") {
		t.Errorf("an interest that makes no sense: %s", got)
	}
	if got := ask(t, c, "asked", ""); got != "asked" {
		t.Errorf("the old interest is gone: %q", got)
	}
}

// A call outside of the scopes says which scope is missing and where it goes.
func TestHostServiceScopes(t *testing.T) {
	_, b := startCaller(t, "", "clients.read")
	c := b.Connect("c")
	if got := ask(t, c, "in/clients.all", ""); got != `["c"]` {
		t.Errorf("got %s", got)
	}
	for call, scope := range map[string]string{
		"publish": "publish", "sessions.subscribe": "subscribe", "sessions.unsubscribe": "subscribe", "clients.disconnect": "clients.disconnect", "clients.reset": "clients.reset", "stop": "stop",
		"clients.revalidate": "grants", "sessions.all": "sessions.read", "sessions.get": "sessions.read", "sessions.delete": "sessions.write",
		"sessions.clear": "sessions.write", "sessions.enqueue": "sessions.write", "sessions.deliver": "sessions.write",
		"retained.all": "retained.read", "retained.get": "retained.read", "retained.put": "retained.write", "retained.delete": "retained.write",
		"retained.clear": "retained.write", "shared.get": "shared.read", "shared.put": "shared.write",
	} {
		want := fmt.Sprintf("error the scope is missing|the scope is missing: plugin caller does not have the scope %s: "+
			"add it to plugins.caller.scopes in the broker's configuration", scope)
		if got := ask(t, c, "in/"+call, "x y"); got != want {
			t.Errorf("%s: got %s, want %s", call, got, want)
		}
	}
}

// Whoever has not the token of the plugin is not heard.
func TestHostServiceToken(t *testing.T) {
	p, _ := startCaller(t, "", "publish")
	sockets, err := filepath.Glob(p.path("run/p/*/host.sock"))
	if err != nil || len(sockets) != 1 {
		t.Fatalf("sockets %q, %v", sockets, err)
	}
	if info, err := os.Stat(filepath.Dir(sockets[0])); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v, %v", info, err)
	}
	conn, err := grpc.NewClient("unix:"+sockets[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, ctx := range []context.Context{t.Context(), metadata.AppendToOutgoingContext(t.Context(), "gatehouse-token", "wrong")} {
		_, err := pluginv1.NewHostServiceClient(conn).Publish(ctx, &pluginv1.PublishRequest{Message: &pluginv1.Message{Topic: "t"}})
		if status.Code(err) != grpccodes.Unauthenticated {
			t.Errorf("got %v", err)
		}
	}
}

// A plugin that answers every message, its own too, comes to an end, whether it
// intercepts or observes them, and its answers follow the acknowledgement.
func TestHostServiceLoops(t *testing.T) {
	_, b := startCaller(t, "", "publish")
	sub, pub := b.Connect("sub"), b.Connect("pub")
	sub.Subscribe(0, "echo/#", "observed/#")
	pub.Subscribe(0, "echo/#")
	pub.Send(&packet.Publish{ID: 5, Message: mqtt.Message{Topic: "echo/x", Payload: []byte("0"), QoS: 1}})
	acknowledged := false
	for messages := 0; messages < 9; {
		switch got := pub.Next().(type) {
		case *packet.Ack:
			acknowledged = true
		case *packet.Publish:
			if want := fmt.Sprint(messages); string(got.Message.Payload) != want || messages > 0 && !acknowledged {
				t.Errorf("message %s: got %q, acknowledged %v", want, got.Message.Payload, acknowledged)
			}
			messages++
		}
	}
	pub.ExpectNothing()
	for hops := range 9 {
		sub.ExpectMessage("echo/x", fmt.Sprint(hops))
	}
	pub.Publish(mqtt.Message{Topic: "observed/x", Payload: []byte("0"), QoS: 1}, 0)
	for hops := range 9 {
		sub.ExpectMessage("observed/x", fmt.Sprint(hops))
	}
	sub.ExpectSilence()
}

// A plugin that dies in the middle of a call leaves nothing behind and is there
// again.
func TestHostServiceCallerDies(t *testing.T) {
	p, b := startCaller(t, "", pluginhost.Scopes()...)
	ctl, c := b.Connect("ctl"), b.Connect("c")
	before := p.plugin("caller").GetPid()
	ctl.Send(&packet.Publish{ID: 9, Message: mqtt.Message{Topic: "out/die", Payload: []byte("c direct d"), QoS: 1}})
	if m, ok := c.Next().(*packet.Publish); !ok || m.Message.Topic != "direct" {
		t.Errorf("got %+v", m) // and never acknowledge it
	}
	p.waitPlugin("caller", "restarted", func(s *adminv1.Plugin) bool {
		return s.GetState() == adminv1.PluginState_PLUGIN_STATE_READY && s.GetPid() != before
	})
	ctl = b.Connect("ctl")
	if got := ask(t, ctl, "in/clients.all", ""); got != `["c","ctl"]` {
		t.Errorf("got %s", got)
	}
	if sockets, _ := filepath.Glob(p.path("run/p/*/host.sock")); len(sockets) != 1 {
		t.Errorf("sockets %q", sockets)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
	if left, _ := filepath.Glob(p.path("run/p/*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A plugin that calls as fast as it can harms nobody: others are served.
func TestHostServiceFlood(t *testing.T) {
	p, b := startCaller(t, "", "publish", "clients.disconnect")
	ctl, c := b.Connect("ctl"), b.Connect("c")
	c.Subscribe(1, "t")
	if got := ask(t, ctl, "out/flood", ""); got != "null" {
		t.Fatalf("got %s", got)
	}
	begun := time.Now()
	for i := range 50 {
		ctl.Publish(mqtt.Message{Topic: "t", Payload: fmt.Append(nil, i), QoS: 1}, 0)
		c.ExpectMessage("t", fmt.Sprint(i))
	}
	t.Logf("50 messages in %v", time.Since(begun))
	p.stop()
}

func TestScopesAreChecked(t *testing.T) {
	status, text := newSite(t, "plugins:\n  caller:\n    scopes: [publish, everything]\n", "caller").fails()
	if status == 0 || !strings.Contains(text, `there is no scope "everything"; there are clients.disconnect, clients.read, clients.reset`) {
		t.Errorf("status %d: %s", status, text)
	}
}
