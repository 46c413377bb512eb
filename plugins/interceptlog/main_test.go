package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	"github.com/gatehouse-mqtt/gatehouse/plugins/interceptlog/interceptor"
)

func TestMain(m *testing.M) {
	plugintest.RunMain(m, map[string]pluginapi.Plugin{"interceptlog": interceptor.Plugin()})
}

func config(t *testing.T) plugintest.Option {
	t.Helper()
	text, err := os.ReadFile("testdata/config.json")
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Config(text)
}

var accepted = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)

// hooks is the plugin, inside of the test or as a process.
type hooks interface {
	pluginapi.BatchInterceptor
	pluginapi.Observer
}

// TestConformance runs the program against everything that interceptors and
// observers have to do, without rules and with rules of every kind.
func TestConformance(t *testing.T) {
	path := plugintest.Install(t, t.TempDir(), "interceptlog")
	t.Run("defaults", func(t *testing.T) { plugintest.Check(t, path) })
	t.Run("rules", func(t *testing.T) { plugintest.Check(t, path, config(t)) })
}

func TestRules(t *testing.T) {
	dir := t.TempDir()
	for name, p := range map[string]hooks{
		"inside":  plugintest.Start(t, interceptor.Plugin(), config(t)),
		"process": plugintest.Launch(t, plugintest.Install(t, dir, "interceptlog"), config(t)),
	} {
		t.Run(name, func(t *testing.T) { rules(t, p) })
	}
}

func rules(t *testing.T, p hooks) {
	client := plugintest.Client("sensor-1")
	created := func(m *pluginapi.Message) { m.Created, m.QoS = accepted, 1 }
	hidden := func(m *pluginapi.Message) { m.Payload = nil } // no rule needs it, the broker may leave it out
	calls := []*pluginapi.Call{
		{Publish: &pluginapi.PublishCall{Client: client, Message: plugintest.Message("demo/a", `{"v":1.0}`, created)}},
		{Publish: &pluginapi.PublishCall{Client: client, Message: plugintest.Message("demo/a", `no json`, created)}},
		{Publish: &pluginapi.PublishCall{Client: client, Message: plugintest.Message("closed/a", `x`, created)}},
		{Publish: &pluginapi.PublishCall{Client: client, Message: plugintest.Message("old/a/b", `x`, created, hidden)}},
		{Subscribe: &pluginapi.SubscribeCall{Client: client, Subscription: pluginapi.Subscription{Filter: "#", QoS: 2}}},
		{Deliver: &pluginapi.DeliverCall{Receiver: "deaf-1", Message: plugintest.Message("demo/a", "x")}},
		{Deliver: &pluginapi.DeliverCall{Receiver: "other", Message: plugintest.Message("demo/a", "x")}},
	}
	if err := p.InterceptBatch(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range calls {
		switch {
		case c.Publish != nil:
			m := c.Publish.Message
			got = append(got, fmt.Sprint(c.Verdict.Action, c.Verdict.Code, " ", m.Topic, " ", string(m.Payload), " ", m.QoS, m.UserProperties))
		case c.Subscribe != nil:
			got = append(got, fmt.Sprint(c.Verdict.Action, c.Subscribe.Subscription.QoS))
		default:
			got = append(got, fmt.Sprint(c.Verdict.Action))
		}
	}
	want := []string{
		`pass success demo/a {"v":1.0,"received_at":"2026-03-01T12:30:00.000Z"} 1 [{from sensor-1}]`,
		`pass success demo/a no json 1 []`,
		`refuse not authorized closed/a x 1 []`,
		`pass success new/a/b moved 0 []`,
		`pass 0`, `drop`, `pass`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHooks(t *testing.T) {
	p := plugintest.Start(t, interceptor.Plugin(), config(t))
	want := []pluginapi.Hook{pluginapi.HookPublish, pluginapi.HookSubscribe, pluginapi.HookDeliver, pluginapi.HookEvent}
	if diff := cmp.Diff(want, p.Hooks()); diff != "" {
		t.Error(diff)
	}
	// Without rules no message reaches the plugin.
	p = plugintest.Start(t, interceptor.Plugin())
	if diff := cmp.Diff([]pluginapi.Hook{pluginapi.HookEvent}, p.Hooks()); diff != "" {
		t.Error(diff)
	}
}

func TestReconfigure(t *testing.T) {
	dir := t.TempDir()
	p := plugintest.Start(t, interceptor.Plugin(), config(t), plugintest.DataDir(dir))
	publish := func(topic string) pluginapi.Verdict {
		t.Helper()
		v, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Client: plugintest.Client("c"), Message: plugintest.Message(topic, "x")})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	bad := `{"rules":[{"actions":[{"drop":true}]},{"match":{"topic":"#/a"},"actions":[{"drop":true}]}]}`
	if err := p.Reconfigure(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "/rules/1/match/topic") {
		t.Errorf("Reconfigure: %v", err)
	}
	if err := p.ValidateConfig(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "/rules/1/match/topic") {
		t.Errorf("ValidateConfig: %v", err)
	}
	if v := publish("closed/a"); v.Action != pluginapi.ActionRefuse {
		t.Errorf("after a bad configuration: %+v", v)
	}
	if err := p.Reconfigure(t.Context(), `{"log":{"file":"messages.jsonl","events":["published"],"fields":["topic"]},"rules":[{"match":{"topic":"open/#"},"actions":[{"drop":true}]}]}`); err != nil {
		t.Fatal(err)
	}
	if v := publish("closed/a"); v.Action != pluginapi.ActionPass {
		t.Errorf("after a new configuration: %+v", v)
	}
	if v := publish("open/a"); v.Action != pluginapi.ActionDrop {
		t.Errorf("after a new configuration: %+v", v)
	}
	text, err := p.Metrics(t.Context())
	if err != nil || !strings.Contains(string(text), `interceptlog_rule_matched_total{rule="1"} 1`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	p := plugintest.Launch(t, plugintest.Install(t, t.TempDir(), "interceptlog"), config(t), plugintest.DataDir(dir))
	err := p.Observe(t.Context(), []pluginapi.Event{
		{Kind: pluginapi.EventConnected, Time: accepted, ClientID: "c", Client: plugintest.Client("c")},
		{Kind: pluginapi.EventPublished, Time: accepted, ClientID: "c", Message: plugintest.Message("demo/a", "21.5")},
	}, 3)
	if err != nil {
		t.Fatal(err)
	}
	// Killed, not stopped: what was told is written.
	if err := p.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "messages.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"event":"events_lost","count":3}`, `"event":"connected","client":"c"`, `"topic":"demo/a"`, `"payload":"21.5"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in:\n%s", want, text)
		}
	}
}

func TestBrokerLog(t *testing.T) {
	p := plugintest.Launch(t, plugintest.Install(t, t.TempDir(), "interceptlog"))
	if err := p.Observe(t.Context(), []pluginapi.Event{{Kind: pluginapi.EventPublished, Time: accepted, ClientID: "c", Message: plugintest.Message("demo/a", "21.5")}}, 0); err != nil {
		t.Fatal(err)
	}
	line, err := p.Logged("published", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if line["topic"] != "demo/a" || line["client"] != "c" || line["size"] != 4.0 || line["payload"] != nil {
		t.Errorf("%v", line)
	}
}

func TestManifest(t *testing.T) {
	m, err := plugintest.Start(t, interceptor.Plugin()).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "interceptlog" || m.Exclusive || len(m.Services) != 2 || !strings.Contains(string(m.ConfigSchema), "add_timestamp") {
		t.Errorf("%+v", m)
	}
}
