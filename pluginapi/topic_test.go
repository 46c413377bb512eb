package pluginapi_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestMatch(t *testing.T) {
	cases := []struct {
		filter, topic string
		want          bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "A", false},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"+", "a", true},
		{"+", "", true},
		{"+", "a/b", false},
		{"+/+", "/a", true},
		{"/+", "/a", true},
		{"+", "/a", false},
		{"a/+/c", "a/b/c", true},
		{"a/+/c", "a//c", true},
		{"a/+/c", "a/b/d", false},
		{"#", "a", true},
		{"#", "a/b/c", true},
		{"#", "/", true},
		{"a/#", "a", true},
		{"a/#", "a/", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"a/+/#", "a", false},
		{"a/+/#", "a/b", true},
		{"#", "$SYS", false},
		{"+", "$SYS", false},
		{"+/x", "$SYS/x", false},
		{"$SYS/#", "$SYS/x", true},
		{"$SYS/+", "$SYS/x", true},
		{"a/#", "a/$SYS", true},
		{"$share/g/a/+", "a/b", true},
		{"$share/g/#", "$SYS", false},
		{"$share/g/$SYS/#", "$SYS/x", true},
		{"$share/g", "$share/g", true},
		{"a/#/b", "a/x/b", false},
	}
	for _, c := range cases {
		if got := pluginapi.Match(c.filter, c.topic); got != c.want {
			t.Errorf("Match(%q, %q) = %v, want %v", c.filter, c.topic, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { pluginapi.Match("$share/g/a/+/c/#", "a/b/c/d/e/f") }); n > 0 {
		t.Errorf("Match allocates %v times", n)
	}
}

// naiveMatch is Match as one would explain it.
func naiveMatch(filter, topic string) bool {
	f, n := strings.Split(filter, "/"), strings.Split(topic, "/")
	if strings.HasPrefix(topic, "$") && f[0] != n[0] {
		return false
	}
	for i, level := range f {
		switch {
		case level == "#" && i == len(f)-1:
			return true
		case level == "#" || i >= len(n) || level != "+" && level != n[i]:
			return false
		case i == len(f)-2 && f[i+1] == "#" && len(n) == i+1:
			return true
		}
	}
	return len(f) == len(n)
}

func TestMatchAgainstNaive(t *testing.T) {
	level := rapid.SampledFrom([]string{"a", "b", "", "$x", "+", "#"})
	rapid.Check(t, func(t *rapid.T) {
		filter := strings.Join(rapid.SliceOfN(level, 1, 5).Draw(t, "filter"), "/")
		topic := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "", "$x"}), 1, 5).Draw(t, "topic"), "/")
		if got, want := pluginapi.Match(filter, topic), naiveMatch(filter, topic); got != want {
			t.Errorf("Match(%q, %q) = %v, want %v", filter, topic, got, want)
		}
	})
}

func TestSplitShared(t *testing.T) {
	for filter, want := range map[string][2]string{
		"$share/g/a/#": {"g", "a/#"}, "$share/g//": {"g", "/"}, "$share/g": {}, "$share/g/": {}, "$share//a": {}, "a": {}, "$shared/g/a": {},
	} {
		group, rest, ok := pluginapi.SplitShared(filter)
		if group != want[0] || rest != want[1] || ok != (want[0] != "") {
			t.Errorf("SplitShared(%q) = %q, %q, %v; want %q", filter, group, rest, ok, want)
		}
	}
}

func TestExpand(t *testing.T) {
	cases := []struct {
		filter, id, user, want string
		ok                     bool
	}{
		{"a/#", "", "", "a/#", true},
		{"d/%c/+", "c1", "", "d/c1/+", true},
		{"%u/%c/%u", "c", "u", "u/c/u", true},
		{"%c", "%u", "x", "%u", true},
		{"%c", "a/b", "u", "", false},
		{"%c", "+", "u", "", false},
		{"%c", "#", "u", "", false},
		{"%c", "", "u", "", false},
		{"%u", "c", "", "", false},
		{"%u", "a/b", "x", "x", true},
		{"100%/%d", "c", "u", "100%/%d", true},
	}
	for _, c := range cases {
		if got, ok := pluginapi.Expand(c.filter, c.id, c.user); got != c.want || ok != c.ok {
			t.Errorf("Expand(%q, %q, %q) = %q, %v; want %q, %v", c.filter, c.id, c.user, got, ok, c.want, c.ok)
		}
	}
}

func TestDuration(t *testing.T) {
	var d pluginapi.Duration
	if err := d.UnmarshalText([]byte("1m30s")); err != nil || time.Duration(d) != 90*time.Second {
		t.Errorf("duration %v, %v", d, err)
	}
	if text, err := d.MarshalText(); err != nil || string(text) != "1m30s" {
		t.Errorf("text %q, %v", text, err)
	}
	if err := d.UnmarshalText([]byte("10")); err == nil || !strings.Contains(err.Error(), `"10"`) {
		t.Errorf("error %v", err)
	}
	var c struct {
		Wait pluginapi.Duration `json:"wait"`
	}
	if err := pluginapi.NewSetup([]byte(`{"wait":"3s"}`)).Config(&c); err != nil || time.Duration(c.Wait) != 3*time.Second {
		t.Errorf("config %v, %v", c, err)
	}
	if err := pluginapi.NewSetup([]byte(`{"wait":3}`)).Config(&c); err == nil || err.Error() != "/wait: must be a string, not a number" {
		t.Errorf("error %v", err)
	}
}

func TestReasonCodes(t *testing.T) {
	for code, want := range map[pluginapi.ReasonCode]string{0: "success", pluginapi.Banned: "banned", 0x77: "reason code 0x77"} {
		if got := code.String(); got != want {
			t.Errorf("%d is %q, want %q", byte(code), got, want)
		}
	}
	if pluginapi.GrantedQoS2.Failed() || !pluginapi.UnspecifiedError.Failed() {
		t.Error("Failed begins at 0x80")
	}
}
