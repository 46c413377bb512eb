package hook_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

func TestRights(t *testing.T) {
	one, yes := mqtt.AtLeastOnce, true
	list := &hook.Grants{List: []hook.Grant{
		{Filter: "own/%c/#"},
		{Filter: "user/%u", Actions: hook.ActionPublish},
		{Filter: "read/#", Actions: hook.ActionSubscribe, MaxQoS: &one},
		{Filter: "read/secret/#", Deny: true},
		{Filter: "low/#", Actions: hook.ActionPublish, MaxQoS: &one},
		{Filter: "state/+", Actions: hook.ActionPublish, Retain: &yes},
		{Filter: "quiet", Actions: hook.ActionReceive, Deny: true},
		{Filter: "quiet", Actions: hook.ActionSubscribe},
	}}
	r := hook.NewRights([]*hook.Grants{list}, "dev1", "alice")
	for _, tt := range []struct {
		topic  string
		qos    mqtt.QoS
		retain bool
		want   bool
	}{
		{"own/dev1/x", 2, true, true},
		{"own/dev2/x", 0, false, false},
		{"user/alice", 2, false, true},
		{"user/bob", 0, false, false},
		{"read/x", 0, false, false},
		{"low/x", 1, false, true},
		{"low/x", 2, false, false},
		{"state/x", 0, true, true},
		{"state/x", 0, false, false},
		{"nowhere", 0, false, false},
	} {
		if got := r.MayPublish(tt.topic, tt.qos, tt.retain); got != tt.want {
			t.Errorf("publish %s QoS %d retain %v: %v", tt.topic, tt.qos, tt.retain, got)
		}
	}
	for _, tt := range []struct {
		filter string
		qos    mqtt.QoS
		want   bool
	}{
		{"own/dev1/#", 2, true},
		{"own/#", 0, false},
		{"read/a", 1, true},
		{"read/+", 0, false}, // read/secret is among them
		{"read/#", 0, false},
		{"read/secret/x", 0, false},
		{"read/a/+", 1, true},
	} {
		if qos, got := r.MaySubscribe(tt.filter); got != tt.want || qos != tt.qos {
			t.Errorf("subscribe %s: %v with QoS %d", tt.filter, got, qos)
		}
	}
	for topic, want := range map[string]bool{"read/a": true, "read/secret/a": false, "quiet": false, "low/x": false} {
		if got := r.MayReceive(topic); got != want {
			t.Errorf("receive %s: %v", topic, got)
		}
	}
}

// A client must not choose itself a name that widens its rights.
func TestRightsHostileNames(t *testing.T) {
	list := []*hook.Grants{{List: []hook.Grant{{Filter: "own/%c/#"}, {Filter: "user/%u"}}}}
	for _, id := range []string{"#", "+", "a/b", "", "a/#"} {
		r := hook.NewRights(list, id, id)
		for _, name := range []string{"own/a/b", "own/x", "own//x", "user/", "user/x", "own/+/x", "own/a/b/c"} {
			if r.MayPublish(name, 0, false) {
				t.Errorf("client %q may publish to %s", id, name)
			}
		}
	}
}

// A name that looks like a placeholder is a name.
func TestRightsNameLikePlaceholder(t *testing.T) {
	r := hook.NewRights([]*hook.Grants{{List: []hook.Grant{{Filter: "own/%c/#"}, {Filter: "by/%u/%c"}}}}, "%u", "admin")
	if r.MayPublish("own/admin/x", 0, false) || r.MayPublish("by/admin/admin", 0, false) {
		t.Error("a client that calls itself %u has the rights of its user name")
	}
	if !r.MayPublish("own/%u/x", 0, false) || !r.MayPublish("by/admin/%u", 0, false) {
		t.Error("it has not its own")
	}
}

// Nor one that escapes a denial.
func TestRightsHostileNamesDenied(t *testing.T) {
	list := []*hook.Grants{{List: []hook.Grant{{Filter: "#"}, {Filter: "a/x%c/b", Deny: true}}}}
	if r := hook.NewRights(list, "1", ""); r.MayPublish("a/x1/b", 0, false) || !r.MayPublish("a/x2/b", 0, false) {
		t.Error("a plain name")
	}
	for _, id := range []string{"#", "+", "1/b", ""} {
		r := hook.NewRights(list, id, "")
		if r.MayPublish("a/x1/b", 0, false) || r.MayPublish("a/x1/b/b", 0, false) || !r.MayPublish("b", 0, false) {
			t.Errorf("client %q escapes the denial, or is denied too much", id)
		}
	}
}

func TestNoRights(t *testing.T) {
	var unlimited *hook.Rights
	if !unlimited.MayPublish("a", 2, true) || !unlimited.MayReceive("a") {
		t.Error("no grants must mean no limit")
	}
	nothing := hook.NewRights([]*hook.Grants{{}}, "c", "u")
	if nothing.MayPublish("a", 0, false) || nothing.MayReceive("a") {
		t.Error("an empty list must permit nothing")
	}
	if _, ok := nothing.MaySubscribe("a"); ok {
		t.Error("an empty list must permit nothing")
	}
}
