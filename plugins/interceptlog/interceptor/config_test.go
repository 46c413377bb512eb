package interceptor

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestConfigErrors(t *testing.T) {
	rule := func(s string) string { return `{"rules":[{"actions":[{"drop":true}]},` + s + `]}` }
	action := func(s string) string { return rule(`{"actions":[` + s + `]}`) }
	tests := []struct{ name, config, path, message string }{
		{"unknown key", `{"rulez":[]}`, "/rulez", "rules"},
		{"unknown key of a rule", rule(`{"topic":"a","actions":[{"drop":true}]}`), "/rules/1/topic", ""},
		{"unknown key of match", rule(`{"match":{"topics":"a"},"actions":[{"drop":true}]}`), "/rules/1/match/topics", "topic"},
		{"unknown action", action(`{"set_paylod":{}}`), "/rules/1/actions/0/set_paylod", "set_payload"},
		{"unknown hook", rule(`{"on":"connect","actions":[{"drop":true}]}`), "/rules/1/on", "publish"},
		{"no actions", rule(`{}`), "/rules/1/actions", "missing"},
		{"empty actions", rule(`{"actions":[]}`), "/rules/1/actions", "empty"},
		{"two in one", action(`{"drop":true,"set_qos":1}`), "/rules/1/actions/0", "exactly one"},
		{"none in one", action(`{}`), "/rules/1/actions/0", "exactly one"},
		{"after the end", action(`{"drop":true},{"set_qos":1}`), "/rules/1/actions/1", "after the end"},
		{"continue after the end", rule(`{"continue":true,"actions":[{"drop":true}]}`), "/rules/1/continue", "no sense"},
		{"same name", `{"rules":[{"name":"a","actions":[{"drop":true}]},{"name":"a","actions":[{"drop":true}]}]}`, "/rules/1/name", "already"},
		{"drop false", action(`{"drop":false}`), "/rules/1/actions/0/drop", "true"},
		{"filter", rule(`{"match":{"topic":"a/#/b"},"actions":[{"drop":true}]}`), "/rules/1/match/topic", "last level"},
		{"filters", rule(`{"match":{"topic":["a","b+"]},"actions":[{"drop":true}]}`), "/rules/1/match/topic/1", "whole level"},
		{"shared filter", rule(`{"match":{"topic":"$share/g/a"},"actions":[{"drop":true}]}`), "/rules/1/match/topic", "after the group"},
		{"empty filter", rule(`{"match":{"topic":""},"actions":[{"drop":true}]}`), "/rules/1/match/topic", "empty"},
		{"not a list", rule(`{"match":{"client":7},"actions":[{"drop":true}]}`), "/rules/1/match/client", "string or a list"},
		{"origin", rule(`{"match":{"origin":["client","broker"]},"actions":[{"drop":true}]}`), "/rules/1/match/origin/1", `"broker"`},
		{"qos to match", rule(`{"match":{"qos":[0,3]},"actions":[{"drop":true}]}`), "/rules/1/match/qos/1", "QoS 3"},
		{"retain of a subscription", rule(`{"on":"subscribe","match":{"retain":true},"actions":[{"drop":true}]}`), "/rules/1/match", "no retain"},
		{"payload of a subscription", rule(`{"on":"subscribe","actions":[{"set_payload":{"text":"x"}}]}`), "/rules/1/actions/0", "cannot be done with a subscription"},
		{"no payload", action(`{"set_payload":{}}`), "/rules/1/actions/0/set_payload", "exactly one"},
		{"two payloads", action(`{"set_payload":{"text":"a","base64":"YQ=="}}`), "/rules/1/actions/0/set_payload", "exactly one"},
		{"base64", action(`{"set_payload":{"base64":"a"}}`), "/rules/1/actions/0/set_payload/base64", "not base64"},
		{"template", action(`{"set_payload":{"template":"{clinet}"}}`), "/rules/1/actions/0/set_payload/template", "{clinet}"},
		{"brace", action(`{"set_payload":{"template":"{\"a\":1}"}}`), "/rules/1/actions/0/set_payload/template", "placeholder"},
		{"path", action(`{"set_json":{"path":"a..b","value":1}}`), "/rules/1/actions/0/set_json/path", "empty"},
		{"no value", action(`{"set_json":{"path":"a"}}`), "/rules/1/actions/0/set_json/value", "missing"},
		{"value", action(`{"set_json":{"path":"a","value":["{x}"]}}`), "/rules/1/actions/0/set_json/value", "{x}"},
		{"delete", action(`{"delete_json":""}`), "/rules/1/actions/0/delete_json", "empty"},
		{"format", action(`{"add_timestamp":{"path":"a","format":"iso"}}`), "/rules/1/actions/0/add_timestamp/format", "rfc3339"},
		{"property", action(`{"set_user_property":{"key":"a","value":"}"}}`), "/rules/1/actions/0/set_user_property/value", "brace"},
		{"topic", action(`{"set_topic":"a/#"}`), "/rules/1/actions/0/set_topic", "not a topic"},
		{"empty topic", action(`{"set_topic":""}`), "/rules/1/actions/0/set_topic", "not a topic"},
		{"level 0", action(`{"set_topic":"{topic.0}"}`), "/rules/1/actions/0/set_topic", "{topic.0}"},
		{"filter to subscribe", rule(`{"on":"subscribe","actions":[{"set_topic":"a#"}]}`), "/rules/1/actions/0/set_topic", "whole level"},
		{"qos", action(`{"set_qos":3}`), "/rules/1/actions/0/set_qos", "QoS 3"},
		{"code", action(`{"refuse":{"code":"forbidden"}}`), "/rules/1/actions/0/refuse/code", "forbidden"},
		{"code of success", action(`{"refuse":{"code":0}}`), "/rules/1/actions/0/refuse/code", "128"},
		{"code between", action(`{"refuse":{"code":163}}`), "/rules/1/actions/0/refuse/code", "163"},
		{"code of a PUBACK", action(`{"refuse":{"code":"banned"}}`), "/rules/1/actions/0/refuse/code", "PUBACK"},
		{"code of a SUBACK", rule(`{"on":"subscribe","actions":[{"refuse":{"code":"topic name invalid"}}]}`), "/rules/1/actions/0/refuse/code", "SUBACK"},
		{"code of a DISCONNECT", action(`{"disconnect":{"code":"banned"}}`), "/rules/1/actions/0/disconnect/code", "DISCONNECT"},
		{"refused delivery", rule(`{"on":"deliver","actions":[{"refuse":{}}]}`), "/rules/1/actions/0/refuse", "drop"},
		{"refused delivery of bad json", rule(`{"on":"deliver","on_bad_json":"refuse","actions":[{"delete_json":"a"}]}`), "/rules/1/on_bad_json", "drop"},
		{"event", `{"log":{"events":["publish"]}}`, "/log/events/0", "published"},
		{"no events", `{"log":{"events":[]}}`, "/log/events", "enabled"},
		{"field", `{"log":{"fields":["topic","body"]}}`, "/log/fields/1", "payload"},
		{"log topic", `{"log":{"topics":["a#"]}}`, "/log/topics/0", "whole level"},
		{"log payload", `{"log":{"payload":"half"}}`, "/log/payload", "head"},
		{"head", `{"log":{"payload_head":0}}`, "/log/payload_head", "at least 1"},
		{"max", `{"log":{"max_bytes":1}}`, "/log/max_bytes", "at least 1024"},
		{"keep", `{"log":{"keep":-1}}`, "/log/keep", "at least 0"},
		{"rate", `{"log":{"rate":0}}`, "/log/rate", "at least 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := checkConfig(t.Context(), pluginapi.NewSetup([]byte(test.config)))
			var found pluginapi.ConfigError
			if !errors.As(err, &found) {
				t.Fatalf("error %v", err)
			}
			if found.Path != test.path || !strings.Contains(found.Message, test.message) {
				t.Errorf("error %q at %q, want one with %q at %q", found.Message, found.Path, test.message, test.path)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	err := checkConfig(t.Context(), pluginapi.NewSetup([]byte(
		`{"log":{"rate":0},"rules":[{"actions":[{"set_qos":7},{"set_topic":"{x}"}]},{"match":{"topic":"#/a"},"actions":[{"drop":true}]}]}`)))
	var paths []string
	for l := range strings.Lines(err.Error()) {
		path, _, _ := strings.Cut(l, ": ")
		paths = append(paths, path)
	}
	want := []string{"/log/rate", "/rules/0/actions/0/set_qos", "/rules/0/actions/1/set_topic", "/rules/1/match/topic"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
}

// FuzzConfig compiles any configuration and uses what compiles.
func FuzzConfig(f *testing.F) {
	f.Add(`{"rules":[{"match":{"topic":"a/+","client":"s*","qos":[1]},"actions":[{"set_json":{"path":"a.b","value":{"x":"{time}"}}},{"set_topic":"x/{topic.2+}"}],"continue":true},{"actions":[{"refuse":{"code":"not authorized"}}]}]}`)
	f.Add(`{"log":{"events":["published"],"payload":"head"},"rules":[]}`)
	f.Add(`{"rules":[{"on":"deliver","actions":[{"set_payload":{"template":"{{{client}"}},{"add_user_property":{"key":"k"}}]}]}`)
	f.Fuzz(func(t *testing.T, config string) {
		c, err := readConfig(pluginapi.NewSetup([]byte(config)))
		if err != nil {
			return
		}
		m := message("a/b", `{"a":{"b":[1,2]}}`)
		switch v := publish(c.rules, m); v.Action {
		case pluginapi.ActionPass:
			if !validTopic(m.Topic) || m.QoS > 2 {
				t.Errorf("message %+v", m)
			}
		case pluginapi.ActionRefuse, pluginapi.ActionDisconnect:
			if v.Code != 0 && !v.Code.Failed() {
				t.Errorf("verdict %+v", v)
			}
		}
		c.log.fieldsFor()
		for _, in := range append(c.rules.interest(), c.log.interest()) {
			for _, f := range in.Filters {
				if checkFilter(f) != "" {
					t.Errorf("interest in %q", f)
				}
			}
		}
	})
}
