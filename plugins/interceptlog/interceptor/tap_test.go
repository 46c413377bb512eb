package interceptor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// logConfig reads the configuration of a log.
func logConfig(t testing.TB, config string) *LogConfig {
	t.Helper()
	c, err := readConfig(pluginapi.NewSetup([]byte(`{"log":` + config + `}`)))
	if err != nil {
		t.Fatal(err)
	}
	return &c.log
}

func event(kind pluginapi.EventKind, change ...func(*pluginapi.Event)) pluginapi.Event {
	e := pluginapi.Event{Kind: kind, Time: accepted, ClientID: "sensor-1", ConnectionID: 7, Seq: 3}
	for _, f := range change {
		f(&e)
	}
	return e
}

func withMessage(m *pluginapi.Message) func(*pluginapi.Event) {
	return func(e *pluginapi.Event) { e.Message = m }
}

// logged logs events to a file and returns its lines.
func logged(t *testing.T, config string, events ...pluginapi.Event) []string {
	t.Helper()
	dir := t.TempDir()
	c := logConfig(t, strings.Replace(config, "{", `{"file":"m.jsonl",`, 1))
	tap, err := newTap(c, dir, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := tap.observe(t.Context(), events, 0); err != nil {
		t.Fatal(err)
	}
	if err := tap.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "m.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestLines(t *testing.T) {
	expiry := uint32(60)
	full := message("a/b", "21.5", func(m *pluginapi.Message) {
		m.Retain, m.Expiry, m.ContentType, m.ResponseTopic = true, &expiry, "text/plain", "re"
		m.CorrelationData = []byte{1}
	}, props("k", "1", "k", "2"))
	cut := message("a", "grün", func(m *pluginapi.Message) { m.Payload, m.PayloadSize = m.Payload[:3], 1000 })
	tests := []struct {
		name, config string
		event        pluginapi.Event
		want         string
	}{
		{"connected", `{"enabled":true}`, event(pluginapi.EventConnected, func(e *pluginapi.Event) {
			e.Client = &pluginapi.Client{ID: "sensor-1", Username: "anna", Protocol: 5, PeerAddress: "[::1]:5", Listener: "tcp"}
		}), `{"time":"2026-03-01T12:30:00.123456789Z","event":"connected","client":"sensor-1","user":"anna","protocol":5,"peer":"[::1]:5","listener":"tcp","connection":7,"seq":3}`},
		{"disconnected", `{"fields":["client","by","code","reason"]}`, event(pluginapi.EventDisconnected, func(e *pluginapi.Event) {
			e.Disconnect, e.Code, e.Reason = pluginapi.ByServer, pluginapi.KeepAliveTimeout, "silent for 90s"
		}), `{"time":"2026-03-01T12:30:00.123456789Z","event":"disconnected","client":"sensor-1","by":"server","code":"keep alive timeout","reason":"silent for 90s"}`},
		{
			"published", `{"payload":"full"}`, event(pluginapi.EventPublished, withMessage(full)),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"published","client":"sensor-1","connection":7,"seq":3,"topic":"a/b","qos":1,"retain":true,"size":4,"payload":"21.5","origin":"client","publisher":"sensor-1","content_type":"text/plain","response_topic":"re","correlation":"AQ==","expiry":60,"user_properties":[["k","1"],["k","2"]]}`,
		},
		{
			"order of fields", `{"fields":["size","topic"]}`, event(pluginapi.EventPublished, withMessage(full)),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"published","size":4,"topic":"a/b"}`,
		},
		{
			"head", `{"payload":"head","payload_head":2,"fields":["payload","size"]}`, event(pluginapi.EventPublished, withMessage(full)),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"published","payload":"21","size":4}`,
		},
		{
			"cut in a character", `{"payload":"head","fields":["payload","size"]}`, event(pluginapi.EventPublished, withMessage(cut)),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"published","payload":"gr","size":1000}`,
		},
		{
			"binary", `{"payload":"full","fields":["payload"]}`, event(pluginapi.EventPublished, withMessage(message("a", "\x00\xff"))),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"published","payload_base64":"AP8="}`,
		},
		{
			"base64", `{"payload":"full","encoding":"base64","fields":["payload"]}`, event(pluginapi.EventPublished, withMessage(message("a", "x"))),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"published","payload_base64":"eA=="}`,
		},
		{
			"text", `{"payload":"full","encoding":"text","fields":["payload"]}`, event(pluginapi.EventPublished, withMessage(message("a", "x\xff"))),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"published","payload":"x` + "\uFFFD" + `"}`,
		},
		{
			"no payload", `{"fields":["payload"]}`, event(pluginapi.EventPublished, withMessage(full)),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"published"}`,
		},
		{"subscribed", `{"fields":["filter","subscription_qos"]}`, event(pluginapi.EventSubscribed, func(e *pluginapi.Event) {
			e.Subscription = &pluginapi.Subscription{Filter: "a/#", QoS: 2}
		}), `{"time":"2026-03-01T12:30:00.123456789Z","event":"subscribed","filter":"a/#","subscription_qos":2}`},
		{
			"dropped", `{"fields":["cause"]}`, event(pluginapi.EventDropped, func(e *pluginapi.Event) { e.Cause = "queue_full" }),
			`{"time":"2026-03-01T12:30:00.123456789Z","event":"dropped","cause":"queue_full"}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			lines := logged(t, test.config, test.event)
			if diff := cmp.Diff([]string{test.want}, lines); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllEventsAndFieldsHaveNames(t *testing.T) {
	for k := pluginapi.EventConnected; k <= pluginapi.EventRefused; k++ {
		if eventNames[k] == "" {
			t.Errorf("event %d has no name", k)
		}
	}
	names := append(slices.Collect(maps.Keys(fieldFuncs)), "payload")
	if diff := cmp.Diff(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(fieldOrder))); diff != "" {
		t.Error(diff)
	}
	everything := event(pluginapi.EventRefused, withMessage(message("", "")), func(e *pluginapi.Event) {
		e.Client, e.Subscription = new(pluginapi.Client), new(pluginapi.Subscription)
	})
	for _, e := range []pluginapi.Event{{}, everything} {
		for name, f := range fieldFuncs {
			if a := f(&e); a.Key != "" && a.Key != name {
				t.Errorf("field %s is written as %s", name, a.Key)
			}
		}
	}
}

func TestBrokerLogHasALimit(t *testing.T) {
	var out bytes.Buffer
	now := accepted
	tap, err := newTap(logConfig(t, `{"rate":3,"fields":["client"]}`), t.TempDir(), slog.New(slog.NewJSONHandler(&out, nil)), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	many := slices.Repeat([]pluginapi.Event{event(pluginapi.EventPublished)}, 10)
	if err := tap.observe(t.Context(), many, 0); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	if err := tap.observe(t.Context(), many[:1], 5); err != nil {
		t.Fatal(err)
	}
	var got []string
	for l := range strings.Lines(out.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%v %v %v %v", line["level"], line["msg"], line["count"], line["client"]))
	}
	want := []string{
		"INFO published <nil> sensor-1", "INFO published <nil> sensor-1", "INFO published <nil> sensor-1",
		"WARN events_lost 5 <nil>", "WARN events_not_logged 7 <nil>", "INFO published <nil> sensor-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n, _ := tap.state(); n.suppressed != 7 || n.lost != 5 || n.written != 6 {
		t.Errorf("%+v", n)
	}
}

func TestRotation(t *testing.T) {
	for _, keep := range []int{0, 2} {
		dir := t.TempDir()
		path := filepath.Join(dir, "m.jsonl")
		c := logConfig(t, fmt.Sprintf(`{"file":%q,"max_bytes":1024,"keep":%d,"fields":["seq"]}`, path, keep))
		for round := range 2 { // opened again it goes on
			tap, err := newTap(c, "", slog.New(slog.DiscardHandler), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				e := event(pluginapi.EventPublished, func(e *pluginapi.Event) { e.Seq = uint64(round*100 + i + 1) })
				if err := tap.observe(t.Context(), []pluginapi.Event{e}, 0); err != nil {
					t.Fatal(err)
				}
			}
			if err := tap.close(); err != nil {
				t.Fatal(err)
			}
		}
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) != keep+1 {
			t.Fatalf("keep %d: files %v, %v", keep, files, err)
		}
		last := 200
		slices.Sort(files)
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil || len(text) == 0 || len(text) > 1024 {
				t.Fatalf("%s has %d bytes, %v", name, len(text), err)
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			slices.Reverse(lines)
			for _, l := range lines {
				if !strings.Contains(l, fmt.Sprintf(`"seq":%d}`, last)) {
					t.Fatalf("%s: %s, want seq %d", name, l, last)
				}
				last--
			}
		}
	}
}

func TestLogThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	setup := pluginapi.NewSetup([]byte(`{"log":{"file":"logs/m.jsonl"}}`))
	setup.DataDir = dir
	_, err := newInterceptor(t.Context(), setup)
	var found pluginapi.ConfigError
	if !errors.As(err, &found) || found.Path != "/log/file" {
		t.Errorf("error %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	value, err := newInterceptor(t.Context(), setup)
	if err != nil {
		t.Fatal(err)
	}
	i := value.(*interceptor)
	// The file fails as it does on a full disk, and the folder is gone.
	if err := i.log.Load().tap.sink.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "logs")); err != nil {
		t.Fatal(err)
	}
	events := []pluginapi.Event{event(pluginapi.EventConnected)}
	if err := i.Observe(t.Context(), events, 0); err == nil {
		t.Error("a line that was not written is not reported")
	}
	if err := i.Observe(t.Context(), events, 0); err != nil {
		t.Errorf("reported twice: %v", err)
	}
	if err := i.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "the log cannot be written") {
		t.Errorf("Health: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := i.Observe(t.Context(), events, 0); err != nil {
		t.Error(err)
	}
	if err := i.Health(t.Context()); err != nil {
		t.Errorf("Health once it works: %v", err)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := i.Observe(t.Context(), events, 0); err != nil {
		t.Errorf("Observe after Stop: %v", err)
	}
}

func TestLogInterest(t *testing.T) {
	tests := map[string]pluginapi.Interest{
		`{"enabled":false}`: {
			Hook: pluginapi.HookEvent, Payload: pluginapi.PayloadNone,
			Events: []pluginapi.EventKind{pluginapi.EventWillSent}, Filters: []string{"$gatehouse/nothing"},
		},
		`{"events":["published","dropped"],"topics":["a/#"]}`: {
			Hook: pluginapi.HookEvent, Payload: pluginapi.PayloadNone,
			Events: []pluginapi.EventKind{pluginapi.EventPublished, pluginapi.EventDropped}, Filters: []string{"a/#"},
		},
		`{"events":["published"],"payload":"head","payload_head":9}`: {
			Hook: pluginapi.HookEvent, Payload: pluginapi.PayloadHead, HeadSize: 9,
			Events: []pluginapi.EventKind{pluginapi.EventPublished},
		},
		`{"events":["published"],"payload":"full"}`: {
			Hook: pluginapi.HookEvent, Payload: pluginapi.PayloadFull,
			Events: []pluginapi.EventKind{pluginapi.EventPublished},
		},
		`{"events":["published"],"payload":"full","fields":["topic"]}`: {
			Hook: pluginapi.HookEvent, Payload: pluginapi.PayloadNone,
			Events: []pluginapi.EventKind{pluginapi.EventPublished},
		},
	}
	for config, want := range tests {
		if diff := cmp.Diff(want, logConfig(t, config).interest()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", config, diff)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	tap, err := newTap(logConfig(b, `{"file":"m.jsonl","payload":"head"}`), b.TempDir(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	events := slices.Repeat([]pluginapi.Event{event(pluginapi.EventPublished, withMessage(message("sensors/1/state", `{"v":1}`)))}, 64)
	b.ReportAllocs()
	for b.Loop() {
		if err := tap.observe(b.Context(), events, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
	if err := tap.close(); err != nil {
		b.Fatal(err)
	}
}
