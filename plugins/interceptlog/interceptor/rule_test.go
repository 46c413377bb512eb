package interceptor

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

var accepted = time.Date(2026, 3, 1, 12, 30, 0, 123456789, time.UTC)

// rulesOf compiles a list of rules in JSON.
func rulesOf(t testing.TB, rules string) *ruleSet {
	t.Helper()
	c, err := readConfig(pluginapi.NewSetup([]byte(`{"rules":` + rules + `}`)))
	if err != nil {
		t.Fatalf("%s: %v", rules, err)
	}
	c.rules.now = func() time.Time { return accepted.Add(time.Hour) }
	return c.rules
}

func message(topic, payload string, change ...func(*pluginapi.Message)) *pluginapi.Message {
	m := &pluginapi.Message{
		Topic: topic, Payload: []byte(payload), PayloadSize: len(payload), QoS: 1,
		Publisher: "sensor-1", Origin: pluginapi.FromClient, Created: accepted,
	}
	for _, f := range change {
		f(m)
	}
	return m
}

var sensor = &pluginapi.Client{ID: "sensor-1", Username: "anna"}

func publish(r *ruleSet, m *pluginapi.Message) pluginapi.Verdict {
	c := &pluginapi.Call{Publish: &pluginapi.PublishCall{Client: sensor, Message: m}}
	r.intercept([]*pluginapi.Call{c})
	return c.Verdict
}

func TestActions(t *testing.T) {
	utf8 := true
	tests := []struct {
		name    string
		actions string
		in      *pluginapi.Message
		want    func(m *pluginapi.Message) // nil: unchanged
	}{
		{
			"text", `{"set_payload":{"text":"{client}"}}`, message("a", "x"),
			func(m *pluginapi.Message) { setText(m, "{client}") },
		},
		{
			"template", `{"set_payload":{"template":"{{{client}|{user}|{topic}}}"}}`, message("a/b", "x"),
			func(m *pluginapi.Message) { setText(m, "{sensor-1|anna|a/b}") },
		},
		{
			"base64", `{"set_payload":{"base64":"AP8="}}`, message("a", "x", func(m *pluginapi.Message) { m.PayloadIsUTF8 = &utf8 }),
			func(m *pluginapi.Message) { setText(m, "\x00\xff"); m.PayloadIsUTF8 = nil },
		},
		{
			"empty", `{"set_payload":{"text":""}}`, message("a", "x"),
			func(m *pluginapi.Message) { setText(m, "") },
		},
		{
			"field", `{"set_json":{"path":"meta.from","value":"{client} \"{user}\""}}`, message("a", `{"v":1.0}`),
			func(m *pluginapi.Message) { setText(m, `{"v":1.0,"meta":{"from":"sensor-1 \"anna\""}}`) },
		},
		{
			"object", `{"set_json":{"path":"m","value":{"c":"{client}","n":[1.50,true,"{topic.2}"],"t":"{unix_ms}"}}}`, message("a/b", `{}`),
			func(m *pluginapi.Message) {
				setText(m, `{"m":{"c":"sensor-1","n":[1.50,true,"b"],"t":1772368200123}}`)
			},
		},
		{
			"delete", `{"delete_json":"secret"}`, message("a", `{"secret":"x", "v":1}`),
			func(m *pluginapi.Message) { setText(m, `{"v":1}`) },
		},
		{
			"timestamp", `{"add_timestamp":{"path":"at"}}`, message("a", `{"v":1}`),
			func(m *pluginapi.Message) { setText(m, `{"v":1,"at":"2026-03-01T12:30:00.123Z"}`) },
		},
		{
			"unix", `{"add_timestamp":{"path":"at","format":"unix"}}`, message("a", `{"at":0}`),
			func(m *pluginapi.Message) { setText(m, `{"at":1772368200}`) },
		},
		{
			"unix_ms", `{"add_timestamp":{"path":"at","format":"unix_ms"}}`, message("a", `{}`),
			func(m *pluginapi.Message) { setText(m, `{"at":1772368200123}`) },
		},
		{
			"two edits", `{"set_json":{"path":"b","value":2}},{"delete_json":"a"}`, message("a", `{"a":1}`),
			func(m *pluginapi.Message) { setText(m, `{"b":2}`) },
		},
		{
			"edit what was set", `{"set_payload":{"text":"{}"}},{"set_json":{"path":"a","value":1}}`, message("a", "no json"),
			func(m *pluginapi.Message) { setText(m, `{"a":1}`) },
		},
		{"no json", `{"set_qos":0},{"set_json":{"path":"b","value":2}}`, message("a", `{"a":`), nil},
		{"no object", `{"set_qos":0},{"set_json":{"path":"b.c","value":2}}`, message("a", `{"b":1}`), nil},
		{
			"topic", `{"set_topic":"new/{topic.2}/{client}/{topic.3+}"}`, message("a/b/c/d", "x"),
			func(m *pluginapi.Message) { m.Topic = "new/b/sensor-1/c/d" },
		},
		{
			"topic with what is not there", `{"set_topic":"new/{topic.9}/{topic.7+}"}`, message("a", "x"),
			func(m *pluginapi.Message) { m.Topic = "new//" },
		},
		{"qos", `{"set_qos":2}`, message("a", "x"), func(m *pluginapi.Message) { m.QoS = 2 }},
		{"retain", `{"set_retain":true}`, message("a", "x"), func(m *pluginapi.Message) { m.Retain = true }},
		{
			"no retain", `{"set_retain":false}`, message("a", "x", func(m *pluginapi.Message) { m.Retain = true }),
			func(m *pluginapi.Message) { m.Retain = false },
		},
		{
			"set a property", `{"set_user_property":{"key":"k","value":"{unix}"}}`, message("a", "x", props("a", "1", "k", "2", "b", "3", "k", "4")),
			props("a", "1", "k", "1772368200", "b", "3"),
		},
		{
			"set a new property", `{"set_user_property":{"key":"k","value":"v"}}`, message("a", "x", props("a", "1")),
			props("a", "1", "k", "v"),
		},
		{
			"add a property", `{"add_user_property":{"key":"k","value":"{user}"}}`, message("a", "x", props("k", "1")),
			props("k", "1", "k", "anna"),
		},
		{"remove a property", `{"remove_user_property":"k"}`, message("a", "x", props("k", "1", "a", "2", "k", "3")), props("a", "2")},
		{"remove no property", `{"remove_user_property":"k"}`, message("a", "x"), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := *test.in
			if test.want != nil {
				test.want(&want)
			}
			r := rulesOf(t, `[{"actions":[`+test.actions+`]}]`)
			for range 2 { // deciding twice does no harm
				got := *test.in
				if v := publish(r, &got); v.Action != pluginapi.ActionPass {
					t.Errorf("verdict %+v", v)
				}
				if diff := cmp.Diff(normal(want), normal(got)); diff != "" {
					t.Errorf("message (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func setText(m *pluginapi.Message, s string) { m.Payload, m.PayloadSize = []byte(s), len(s) }

func props(pairs ...string) func(*pluginapi.Message) {
	return func(m *pluginapi.Message) {
		m.UserProperties = nil
		for i := 0; i < len(pairs); i += 2 {
			m.UserProperties = append(m.UserProperties, pluginapi.UserProperty{Key: pairs[i], Value: pairs[i+1]})
		}
	}
}

// normal makes no difference between nil and empty.
func normal(m pluginapi.Message) pluginapi.Message {
	m.Payload = append([]byte{}, m.Payload...)
	m.UserProperties = append([]pluginapi.UserProperty{}, m.UserProperties...)
	return m
}

func TestVerdicts(t *testing.T) {
	tests := []struct {
		name, rule string
		want       pluginapi.Verdict
	}{
		{"drop", `{"actions":[{"drop":true}]}`, pluginapi.Drop()},
		{"refuse", `{"actions":[{"refuse":{}}]}`, pluginapi.Refuse(0, "")},
		{"refuse with a name", `{"actions":[{"refuse":{"code":"Quota exceeded","reason":"no more"}}]}`, pluginapi.Refuse(pluginapi.QuotaExceeded, "no more")},
		{"refuse with a number", `{"actions":[{"refuse":{"code":144}}]}`, pluginapi.Refuse(pluginapi.TopicNameInvalid, "")},
		{"refuse in hexadecimal", `{"actions":[{"refuse":{"code":"0x99"}}]}`, pluginapi.Refuse(pluginapi.PayloadFormatInvalid, "")},
		{"disconnect", `{"actions":[{"disconnect":{"code":"message_rate_too_high","reason":"slow down"}}]}`, pluginapi.DisconnectClient(pluginapi.MessageRateTooHigh, "slow down")},
		{"bad json drop", `{"on_bad_json":"drop","actions":[{"delete_json":"a"}]}`, pluginapi.Drop()},
		{"bad json refuse", `{"on_bad_json":"refuse","actions":[{"delete_json":"a"}]}`, pluginapi.Refuse(pluginapi.PayloadFormatInvalid, "payload is not JSON")},
		{"no valid topic", `{"name":"r","actions":[{"set_topic":"{topic.5}"}]}`, pluginapi.Refuse(pluginapi.TopicNameInvalid, "rule r makes no valid topic of this one")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, publish(rulesOf(t, "["+test.rule+"]"), message("a", "x"))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestClientsCannotMakeTopics(t *testing.T) {
	r := rulesOf(t, `[{"actions":[{"set_topic":"devices/{client}/state"}]}]`)
	for _, id := range []string{"", "a/b", "+", "x#", "/"} {
		c := &pluginapi.Call{Publish: &pluginapi.PublishCall{Client: &pluginapi.Client{ID: id}, Message: message("a", "x")}}
		r.intercept([]*pluginapi.Call{c})
		if c.Verdict.Action != pluginapi.ActionRefuse || c.Publish.Message.Topic != "a" {
			t.Errorf("client %q: %+v, topic %q", id, c.Verdict, c.Publish.Message.Topic)
		}
	}
}

func TestOrderOfRules(t *testing.T) {
	mark := func(name, more string) string {
		return `{"name":"` + name + `","actions":[{"add_user_property":{"key":"r","value":"` + name + `"}}]` + more + `}`
	}
	tests := []struct{ name, rules, want string }{
		{"the first ends it", mark("1", "") + "," + mark("2", ""), "1"},
		{"continue", mark("1", `,"continue":true`) + "," + mark("2", "") + "," + mark("3", ""), "1 2"},
		{"what does not match is skipped", mark("1", `,"match":{"topic":"z"}`) + "," + mark("2", ""), "2"},
		{"later rules see changes", `{"actions":[{"set_topic":"z"}],"continue":true},` + mark("2", `,"match":{"topic":"z"}`), "2"},
		{"bad json goes on", `{"actions":[{"delete_json":"a"}]},` + mark("2", ""), "2"},
		{"the end is the end", mark("1", `,"continue":true`) + `,{"actions":[{"drop":true}]},` + mark("3", ""), "1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := message("a", "x")
			publish(rulesOf(t, "["+test.rules+"]"), m)
			var got []string
			for _, p := range m.UserProperties {
				got = append(got, p.Value)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("rules %v, want %s", got, test.want)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	retained := func(m *pluginapi.Message) { m.Retain = true }
	tests := []struct {
		match string
		m     *pluginapi.Message
		want  bool
	}{
		{`{}`, message("a", ""), true},
		{`{"topic":"a/+"}`, message("a/b", ""), true},
		{`{"topic":"a/+"}`, message("a/b/c", ""), false},
		{`{"topic":["x","a/#"]}`, message("a", ""), true},
		{`{"topic":"#"}`, message("$SYS/x", ""), false},
		{`{"client":"sensor-1"}`, message("a", ""), true},
		{`{"client":"sensor-*"}`, message("a", ""), true},
		{`{"client":["other","s*-?"]}`, message("a", ""), true},
		{`{"client":"sensor"}`, message("a", ""), false},
		{`{"user":"anna"}`, message("a", ""), true},
		{`{"user":"bert"}`, message("a", ""), false},
		{`{"origin":"client"}`, message("a", ""), true},
		{`{"origin":["will","server","plugin"]}`, message("a", ""), false},
		{`{"qos":[1,2]}`, message("a", ""), true},
		{`{"qos":[0]}`, message("a", ""), false},
		{`{"retain":true}`, message("a", "", retained), true},
		{`{"retain":false}`, message("a", "", retained), false},
		{`{"topic":"a","client":"sensor-1","user":"anna","origin":"client","qos":[1],"retain":false}`, message("a", ""), true},
		{`{"topic":"a","client":"sensor-2","user":"anna","origin":"client","qos":[1],"retain":false}`, message("a", ""), false},
	}
	for _, test := range tests {
		r := rulesOf(t, `[{"match":`+test.match+`,"actions":[{"drop":true}]}]`)
		if got := publish(r, test.m).Action == pluginapi.ActionDrop; got != test.want {
			t.Errorf("%s matches %+v: %v", test.match, test.m, got)
		}
	}
}

func TestWhoActs(t *testing.T) {
	r := rulesOf(t, `[
		{"match":{"client":"gone","user":""},"actions":[{"drop":true}]},
		{"on":"deliver","match":{"client":"receiver","user":"bert"},"actions":[{"drop":true}]},
		{"on":"deliver","match":{"client":"offline"},"actions":[{"drop":true}]}]`)
	bert := &pluginapi.Client{ID: "receiver", Username: "bert"}
	calls := []*pluginapi.Call{
		{Publish: &pluginapi.PublishCall{Message: message("a", "", func(m *pluginapi.Message) { m.Publisher, m.Origin = "gone", pluginapi.FromWill })}},
		{Deliver: &pluginapi.DeliverCall{Client: bert, Receiver: "receiver", Message: message("a", "")}},
		{Deliver: &pluginapi.DeliverCall{Receiver: "offline", Message: message("a", "")}},
		{Deliver: &pluginapi.DeliverCall{Client: sensor, Receiver: "sensor-1", Message: message("a", "")}},
		{Unsubscribe: &pluginapi.UnsubscribeCall{Client: bert, Filter: "a"}},
	}
	r.intercept(calls)
	for i, want := range []pluginapi.VerdictAction{1, 1, 1, 0, 0} {
		if got := calls[i].Verdict.Action; got != want {
			t.Errorf("call %d: action %d, want %d", i, got, want)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	tests := []struct {
		name, rule string
		in         pluginapi.Subscription
		want       pluginapi.Subscription
		action     pluginapi.VerdictAction
	}{
		{"lower", `{"actions":[{"set_qos":1}]}`, sub("a/#", 2), sub("a/#", 1), 0},
		{"never raise", `{"actions":[{"set_qos":1}]}`, sub("a/#", 0), sub("a/#", 0), 0},
		{"wider than the rule", `{"match":{"topic":"secret/#"},"actions":[{"refuse":{}}]}`, sub("#", 2), sub("#", 2), pluginapi.ActionRefuse},
		{"shared", `{"match":{"topic":"secret/#"},"actions":[{"refuse":{}}]}`, sub("$share/g/+/x", 2), sub("$share/g/+/x", 2), pluginapi.ActionRefuse},
		{"another topic", `{"match":{"topic":"secret/#"},"actions":[{"refuse":{}}]}`, sub("public/#", 2), sub("public/#", 2), 0},
		{"another filter", `{"actions":[{"set_topic":"users/{user}/{topic}"}]}`, sub("a/#", 2), sub("users/anna/a/#", 2), 0},
		{"another shared filter", `{"actions":[{"set_topic":"users/{user}/{topic}"}]}`, sub("$share/g/a/#", 2), sub("$share/g/users/anna/a/#", 2), 0},
		{"no filter", `{"actions":[{"set_topic":"{topic}/x"}]}`, sub("a/#", 2), sub("a/#", 2), pluginapi.ActionRefuse},
		{"qos", `{"match":{"qos":[2]},"actions":[{"drop":true}]}`, sub("a", 2), sub("a", 2), pluginapi.ActionDrop},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := rulesOf(t, "["+strings.Replace(test.rule, "{", `{"on":"subscribe",`, 1)+"]")
			c := &pluginapi.Call{Subscribe: &pluginapi.SubscribeCall{Client: sensor, Subscription: test.in}}
			r.intercept([]*pluginapi.Call{c})
			if c.Subscribe.Subscription != test.want || c.Verdict.Action != test.action {
				t.Errorf("%+v, %+v", c.Subscribe.Subscription, c.Verdict)
			}
		})
	}
}

func sub(filter string, qos pluginapi.QoS) pluginapi.Subscription {
	return pluginapi.Subscription{Filter: filter, QoS: qos, NoLocal: true, Identifier: 7}
}

func TestDeliveriesAreOnlyLowered(t *testing.T) {
	r := rulesOf(t, `[{"on":"deliver","actions":[{"set_qos":1}]}]`)
	for in, want := range map[pluginapi.QoS]pluginapi.QoS{0: 0, 1: 1, 2: 1} {
		c := &pluginapi.Call{Deliver: &pluginapi.DeliverCall{Receiver: "r", Message: message("a", "", func(m *pluginapi.Message) { m.QoS = in })}}
		r.intercept([]*pluginapi.Call{c})
		if got := c.Deliver.Message.QoS; got != want {
			t.Errorf("QoS %d becomes %d", in, got)
		}
	}
}

func TestInterest(t *testing.T) {
	tests := []struct {
		name, rules string
		want        []pluginapi.Interest
	}{
		{"none", `[]`, nil},
		{
			"only what is needed", `[{"match":{"topic":["a/#","b"]},"actions":[{"set_qos":0}]},{"match":{"topic":"b"},"actions":[{"drop":true}]}]`,
			[]pluginapi.Interest{{Hook: pluginapi.HookPublish, Filters: []string{"a/#", "b"}, Payload: pluginapi.PayloadNone, MayChange: []pluginapi.Field{pluginapi.FieldQoS}}},
		},
		{
			"all topics", `[{"match":{"topic":"a"},"actions":[{"drop":true}]},{"actions":[{"set_topic":"x/{topic}"}]}]`,
			[]pluginapi.Interest{{Hook: pluginapi.HookPublish, Payload: pluginapi.PayloadNone, MayChange: []pluginapi.Field{pluginapi.FieldTopic}}},
		},
		{
			"payload", `[{"match":{"topic":"a","origin":"will"},"actions":[{"add_timestamp":{"path":"t"}},{"set_retain":true}]}]`,
			[]pluginapi.Interest{{
				Hook: pluginapi.HookPublish, Filters: []string{"a"}, Payload: pluginapi.PayloadFull, Origins: []pluginapi.Origin{pluginapi.FromWill},
				MayChange: []pluginapi.Field{pluginapi.FieldPayload, pluginapi.FieldRetain},
			}},
		},
		{
			"a new payload needs not the old", `[{"match":{"topic":"a"},"actions":[{"set_payload":{"text":"x"}}]}]`,
			[]pluginapi.Interest{{Hook: pluginapi.HookPublish, Filters: []string{"a"}, Payload: pluginapi.PayloadNone, MayChange: []pluginapi.Field{pluginapi.FieldPayload}}},
		},
		{
			"no payload needs the old", `[{"match":{"topic":"a"},"actions":[{"set_payload":{"text":""}}]}]`,
			[]pluginapi.Interest{{Hook: pluginapi.HookPublish, Filters: []string{"a"}, Payload: pluginapi.PayloadFull, MayChange: []pluginapi.Field{pluginapi.FieldPayload}}},
		},
		{
			"binary", `[{"match":{"topic":"a"},"actions":[{"set_payload":{"base64":"/w=="}}]}]`,
			[]pluginapi.Interest{{Hook: pluginapi.HookPublish, Filters: []string{"a"}, Payload: pluginapi.PayloadNone, MayChange: []pluginapi.Field{pluginapi.FieldPayload, pluginapi.FieldContentType}}},
		},
		{
			"other hooks", `[{"on":"deliver","match":{"topic":"d"},"actions":[{"add_user_property":{"key":"k","value":"v"}}]},{"on":"subscribe","match":{"topic":"s"},"actions":[{"set_topic":"x"},{"set_qos":0}]}]`,
			[]pluginapi.Interest{
				{Hook: pluginapi.HookSubscribe, Filters: []string{"s"}, Payload: pluginapi.PayloadNone, MayChange: []pluginapi.Field{pluginapi.FieldSubscription, pluginapi.FieldQoS}},
				{Hook: pluginapi.HookDeliver, Filters: []string{"d"}, Payload: pluginapi.PayloadNone, MayChange: []pluginapi.Field{pluginapi.FieldUserProperties}},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, rulesOf(t, test.rules).interest()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatIsKnownOfAPayload: each rule looks at the payload that it gets.
func TestWhatIsKnownOfAPayload(t *testing.T) {
	tests := []struct{ name, rules, in, want string }{
		{"an undone rule", `{"actions":[{"set_payload":{"text":"{\"a\":1}"}},{"set_json":{"path":"a.b","value":1}}]},{"actions":[{"delete_json":"a"}]}`, `{"a":`, `{"a":`},
		{"no JSON, then JSON", `{"actions":[{"delete_json":"a"}]},{"actions":[{"set_payload":{"text":"{\"a\":1}"}},{"delete_json":"a"}]}`, `{"a":`, `{}`},
		{"JSON, then none", `{"actions":[{"delete_json":"a"}],"continue":true},{"actions":[{"set_payload":{"text":"{\"a\":"}},{"delete_json":"a"}]}`, `{"a":1}`, `{}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := message("t", test.in)
			publish(rulesOf(t, "["+test.rules+"]"), m)
			if got := string(m.Payload); got != test.want {
				t.Errorf("payload %s, want %s", got, test.want)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	r := rulesOf(t, `[{"name":"j","actions":[{"delete_json":"a"}]},{"name":"t","actions":[{"set_topic":"{topic.3}"}]}]`)
	publish(r, message("a", `{}`))
	publish(r, message("a", `x`))
	if r.all[0].matched.Load() != 2 || r.all[0].badJSON.Load() != 1 || r.all[1].matched.Load() != 1 || r.undecided.Load() != 1 {
		t.Errorf("%d %d %d %d", r.all[0].matched.Load(), r.all[0].badJSON.Load(), r.all[1].matched.Load(), r.undecided.Load())
	}
}

func BenchmarkIntercept(b *testing.B) {
	payload := `{"temperature":21.5,"humidity":48,"battery":97,"firmware":"1.4.2","uptime":123456,"tags":["a","b"],"meta":{"site":"north"}}`
	for _, bench := range []struct{ name, rules string }{
		{"timestamp", `[{"match":{"topic":"sensors/#"},"actions":[{"add_timestamp":{"path":"meta.received_at"}}]}]`},
		{"property", `[{"match":{"topic":"sensors/#"},"actions":[{"add_user_property":{"key":"from","value":"{client}"}}]}]`},
		{"tenth rule", "[" + strings.Repeat(`{"match":{"topic":"other/+/x","client":"abc*"},"actions":[{"drop":true}]},`, 9) + `{"match":{"topic":"sensors/#"},"actions":[{"set_qos":0}]}]`},
		{"no rule matches", `[{"match":{"topic":"other/+/x","client":"abc*"},"actions":[{"drop":true}]}]`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := rulesOf(b, bench.rules)
			r.now = time.Now
			calls := make([]*pluginapi.Call, 64)
			b.ReportAllocs()
			for b.Loop() {
				for i := range calls {
					calls[i] = &pluginapi.Call{Publish: &pluginapi.PublishCall{Client: sensor, Message: message("sensors/1/state", payload)}}
				}
				r.intercept(calls)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(calls)), "ns/message")
		})
	}
}
