package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

func TestLastRefused(t *testing.T) {
	var l lastRefused
	if r, ok := l.last(""); ok {
		t.Errorf("of nobody it knows %+v", r)
	}
	l.add("first", "192.0.2.1:1", &hook.Admission{Code: mqtt.NotAuthorized})
	for i := range maxRefused {
		l.add(fmt.Sprint(i%100), "192.0.2.1:1", &hook.Admission{
			Code: mqtt.NotAuthorized, By: "auth", Reason: fmt.Sprint("reason ", i), Err: errors.New(strings.Repeat("ä", maxRefusedText)),
		})
	}
	if _, ok := l.last("first"); ok {
		t.Error("the oldest one is still there")
	}
	r, ok := l.last("7")
	if !ok || r.reason != "reason 207" || r.by != "auth" || r.code != mqtt.NotAuthorized || r.peer != "192.0.2.1:1" {
		t.Errorf("got %+v", r)
	}
	if want := strings.Repeat("ä", maxRefusedText/2) + "..."; r.err != want {
		t.Errorf("the error is %q", r.err)
	}
	long := strings.Repeat("x", maxRefusedText+1)
	l.add(long, "192.0.2.1:1", &hook.Admission{})
	if _, ok := l.last(long); ok {
		t.Error("an endless identifier is kept")
	}
}
