package interceptor

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// example returns the configuration of README.md that has a word in it.
func example(t *testing.T, word string) *setup {
	t.Helper()
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readme(t), -1) {
		if strings.Contains(m[1], word) {
			return load(t, m[1])
		}
	}
	t.Fatalf("no example with %q", word)
	return nil
}

func load(t *testing.T, text string) *setup {
	t.Helper()
	json, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	c, err := readConfig(pluginapi.NewSetup(json))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// TestReadmeConfigs loads every configuration of README.md.
func TestReadmeConfigs(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	if len(blocks) < 7 {
		t.Errorf("%d examples", len(blocks))
	}
	for i, b := range blocks {
		c := load(t, b[1])
		if i > 0 {
			continue
		}
		// The first says that it is the defaults.
		want, got := defaultConfig().Log, c.log
		want.Topics, want.Fields = []string{}, []string{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestReadmeActions has every action of the table done once.
func TestReadmeActions(t *testing.T) {
	values := strings.NewReplacer("T}", `"t/{time}"}`, "P,", "a.b,", "V}", `"{client}"}`, "F}", "unix}", "K,", "k,",
		"C,", "not authorized,", "R}", "why}", ": P", ": a", ": K", ": k", ": T", `: "t/{topic}"`, ": N", ": 1", ": B", ": true")
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+: .*?)` \\|").FindAllStringSubmatch(readme(t), -1)
	if len(rows) != 13 {
		t.Errorf("%d actions in the table", len(rows))
	}
	for _, row := range rows {
		c := load(t, "rules: [{actions: [{"+values.Replace(row[1])+"}]}]")
		publish(c.rules, message("a", `{"a":{}}`))
		if c.rules.all[0].badJSON.Load() != 0 || c.rules.undecided.Load() != 0 {
			t.Errorf("%s does not work", row[1])
		}
	}
}

func TestReadmeNames(t *testing.T) {
	text := readme(t)
	names := slices.Concat(fieldOrder, []string{"log", "rules"})
	for e := range eventKinds {
		names = append(names, e)
	}
	for p := range placeholders {
		names = append(names, "{"+p+"}")
	}
	for _, n := range names {
		if !strings.Contains(text, "`"+n+"`") && !strings.Contains(text, "### "+n) {
			t.Errorf("%s is not explained", n)
		}
	}
	for _, h := range []string{"# interceptlog\n", "## Name\n", "## Description\n", "## Syntax\n", "## Examples\n"} {
		if !strings.Contains(text, h) {
			t.Errorf("no section %q", h)
		}
	}
	i := new(interceptor)
	if err := i.use(pluginapi.NewSetup(nil)); err != nil {
		t.Fatal(err)
	}
	metrics, err := i.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(string(metrics), -1) {
		if !strings.Contains(text, "`"+m[1]+"`") && !strings.Contains(text, "`"+m[1]+"{rule}`") {
			t.Errorf("metric %s is not explained", m[1])
		}
	}
}

// TestReadmeExamples does what README.md says of its examples.
func TestReadmeExamples(t *testing.T) {
	m := message("sensors/1", `{"v": 21.50}`)
	publish(example(t, "name: stamp").rules, m)
	if got := string(m.Payload); got != `{"v": 21.50,"received_at":"2026-03-01T12:30:00.123Z","meta":{"from":"sensor-1"}}` {
		t.Errorf("stamp: %s", got)
	}
	m = message("old/a/b", "x")
	publish(example(t, "name: move").rules, m)
	if m.Topic != "new/a/b" || m.UserProperties[0].Value != "new/a/b" {
		t.Errorf("move: %+v", m)
	}

	r := example(t, "name: guests").rules
	calls := []*pluginapi.Call{
		{Publish: &pluginapi.PublishCall{Client: &pluginapi.Client{ID: "guest-1"}, Message: message("a", "x", func(m *pluginapi.Message) { m.Retain = true })}},
		{Publish: &pluginapi.PublishCall{Client: &pluginapi.Client{ID: "gateway"}, Message: message("secret/a", "x")}},
		{Publish: &pluginapi.PublishCall{Client: &pluginapi.Client{ID: "guest-1"}, Message: message("secret/a", "x")}},
		{Subscribe: &pluginapi.SubscribeCall{Client: sensor, Subscription: sub("#", 0)}},
	}
	r.intercept(calls)
	if calls[0].Publish.Message.Retain || calls[1].Publish.Message.UserProperties[0].Value != "gateway" {
		t.Errorf("%+v %+v", calls[0].Publish.Message, calls[1].Publish.Message)
	}
	for i, want := range []pluginapi.Verdict{{}, {}, pluginapi.Refuse(pluginapi.NotAuthorized, "only the gateway writes here"), pluginapi.Refuse(pluginapi.NotAuthorized, "")} {
		if diff := cmp.Diff(want, calls[i].Verdict); diff != "" {
			t.Errorf("call %d: %s", i, diff)
		}
	}

	r = example(t, "name: flood").rules
	deliver := func(to, payload string) (*pluginapi.Message, pluginapi.Verdict) {
		c := &pluginapi.Call{Deliver: &pluginapi.DeliverCall{Receiver: to, Message: message("orders/1", payload)}}
		r.intercept([]*pluginapi.Call{c})
		return c.Deliver.Message, c.Verdict
	}
	const order = `{"customer":{"name":"x","iban":"DE02"}}`
	if m, _ := deliver("billing", order); string(m.Payload) != order {
		t.Errorf("billing gets %s", m.Payload)
	}
	if m, _ := deliver("shop", order); string(m.Payload) != `{"customer":{"name":"x"}}` {
		t.Errorf("shop gets %s", m.Payload)
	}
	if _, v := deliver("shop", "no json"); v.Action != pluginapi.ActionDrop {
		t.Errorf("%+v", v)
	}
}
