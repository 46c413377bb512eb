package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	paho5 "github.com/eclipse/paho.golang/paho"
)

// The retained messages of a running broker are listed by filter and page, shown
// and deleted.
func TestRetainedCommands(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	c := p.connect5("pub")
	publish := func(topic, payload string, properties *paho5.PublishProperties) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := c.Publish(ctx, &paho5.Publish{Topic: topic, QoS: 1, Retain: true, Payload: []byte(payload), Properties: properties}); err != nil {
			t.Fatal(err)
		}
	}
	expiry := uint32(3600)
	publish("sensors/kitchen", "21.5", &paho5.PublishProperties{
		ContentType: "text/plain", ResponseTopic: "reply", CorrelationData: []byte{1, 255}, MessageExpiry: &expiry,
		User: paho5.UserProperties{{Key: "unit", Value: "C"}},
	})
	publish("sensors/garden", "line\n\x1b[31mred", nil)
	publish("long", strings.Repeat("ü", 100), nil)
	for i := range 1500 {
		publish(fmt.Sprintf("many/%04d", i), "x", nil)
	}
	broker := func(want int, args ...string) string {
		t.Helper()
		var out, errs strings.Builder
		args = append([]string{"retained"}, append(args, "--run-dir", p.path("run"))...)
		if status := run(args, strings.NewReader(""), &out, &errs); status != want {
			t.Fatalf("%q: status %d: %s", args, status, errs.String())
		}
		return out.String() + errs.String()
	}
	expect := func(got string, patterns ...string) {
		t.Helper()
		for _, pattern := range patterns {
			if !regexp.MustCompile(pattern).MatchString(got) {
				t.Errorf("there is no %s in\n%s", pattern, got)
			}
		}
	}
	expect(broker(0, "list", "sensors/#"), `^TOPIC +QOS +AGE +PUBLISHER +SIZE +PAYLOAD\n`,
		`sensors/garden +1 +\d+s +pub +13 +"line\\n\\x1b\[31mred"\nsensors/kitchen +1 +\d+s +pub +4 +21.5\n$`)
	expect(broker(0, "list", "long"), `long +1 +\d+s +pub +200 +`+strings.Repeat("ü", 30)+`\.\.\.\n$`)
	if got := broker(0, "list", "--limit", "3"); strings.Count(got, "\n") != 5 || !strings.Contains(got, "there may be more than 3: --limit 0 lists all") {
		t.Errorf("three are\n%s", got)
	}
	for limit, want := range map[string]int{"0": 1500, "1200": 1200, "5000": 1500} {
		if got := strings.Count(broker(0, "list", "many/+", "--limit", limit, "--json"), `"topic"`); got != want {
			t.Errorf("limit %s lists %d", limit, got)
		}
	}
	expect(broker(0, "list", "sensors/kitchen", "--json", "--payloads"), `"payload": ?"MjEuNQ=="`)
	expect(broker(1, "list", "a/#/b"), `filter "a/#/b"`)
	expect(broker(0, "get", "sensors/kitchen"), `topic +sensors/kitchen\n`, `content type +text/plain\n`, `response topic +reply\n`,
		`correlation data +01ff\n`, `user property +unit=C\n`, `expires +\d{4}-`, `payload +21.5\n$`)
	if got := broker(0, "get", "sensors/garden", "--raw"); got != "line\n\x1b[31mred" {
		t.Errorf("raw is %q", got)
	}
	expect(broker(0, "get", "sensors/kitchen", "--json"), `"key": +"unit"`, `"payload": +"MjEuNQ=="`)
	expect(broker(3, "get", "nothing"), `there is no retained message of topic "nothing"`)
	expect(broker(0, "delete", "sensors/+"), `^2 retained messages deleted\n$`)
	expect(broker(0, "delete", "sensors/kitchen"), `^0 retained`)
	expect(broker(1, "delete"), `name a topic or a filter, or say all`)
	expect(broker(0, "delete", "--all", "--json"), `"deleted": +"1501"`)
	if got := broker(0, "list"); strings.Count(got, "\n") != 1 {
		t.Errorf("left is\n%s", got)
	}
	p.stop()
}
