package metrics

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/core/shadow"
	"github.com/gatehouse-mqtt/gatehouse/core/store"
)

// fakePlugins are plugins that never ran.
type fakePlugins struct {
	list  []pluginhost.Status
	store *pluginhost.StoreStats
	texts map[string]string // metrics by plugin; "!..." is an error
}

func (f *fakePlugins) Plugins() []pluginhost.Status { return f.list }

func (f *fakePlugins) StoreStats(context.Context, string) (*pluginhost.StoreStats, error) {
	return f.store, nil
}

func (f *fakePlugins) CollectMetrics(ctx context.Context, name string) ([]byte, error) {
	switch text := f.texts[name]; {
	case text == "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	case strings.HasPrefix(text, "!"):
		return nil, errors.New(text[1:])
	default:
		return []byte(text), nil
	}
}

type fakeStore struct{ stats store.Stats }

func (f fakeStore) Stats() store.Stats { return f.stats }

type pending int

func (p pending) Pending() int { return int(p) }

// everything is a source in which there is something of everything.
func everything() Sources {
	buckets := make([]uint64, len(hook.LatencyBounds())+1)
	buckets[0], buckets[3], buckets[len(buckets)-1] = 1, 2, 4
	p := &fakePlugins{
		list: []pluginhost.Status{{
			Name: "rules", Version: "1.0", State: pluginhost.Ready, Required: true, Restarts: 2,
			Calls:     []hook.PointCount{{Point: hook.PointPublish, Failed: 3, Breaker: hook.BreakerOpen, Held: 1}},
			Latencies: []hook.Latency{{Point: hook.PointPublish, Outcome: hook.OutcomeDrop, Count: 7, Sum: 3 * time.Second, Buckets: buckets}},
			Traffic:   pluginhost.Traffic{EventsLost: 9},
		}, {Name: "store", State: pluginhost.Backoff}},
		store: &pluginhost.StoreStats{Messages: 11, Bytes: 12, Revision: 13},
	}
	return Sources{
		Version: "1.2.3", Broker: broker.New(broker.Options{SysInterval: -1}), Plugins: p, Retained: pending(5),
		Store: func() string { return "store" },
		Sessions: fakeStore{store.Stats{
			Bytes: 14, Waiting: 15, Batches: 16, Changes: 17, Failures: 18, Failure: errors.New("disk full"), Unreadable: 21,
			Retained: store.RetainedStats{Pending: 22, Revision: 23, Bytes: 24},
			Syncs:    store.Latency{Count: 3, Sum: time.Second, Buckets: append([]uint64{0, 2}, make([]uint64, len(store.SyncBounds())-1)...)},
		}},
		Shadows: func() []Shadow {
			return []Shadow{{"rules", &shadow.Counts{
				Hooks: map[hook.Point]shadow.Outcomes{hook.PointPublish: {Same: 20, Differ: 3, Failed: 1}},
				Left:  map[shadow.Reason]uint64{shadow.Absent: 4, shadow.Kept: 5},
			}}}
		},
		Certificates: func() []Certificate {
			return []Certificate{{"tls", "CN=broker", "1f", time.Unix(1_800_000_000, 0)}}
		},
	}
}

// scrape asks as Prometheus does.
func scrape(t *testing.T, h http.Handler, accept string) (text []byte, contentType string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text, w.Header().Get("Content-Type")
}

func parse(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	got, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return got
}

func TestTextFormatIsClean(t *testing.T) {
	text, contentType := scrape(t, Handler(everything()), "text/plain")
	if !strings.HasPrefix(contentType, "text/plain; version=0.0.4") {
		t.Errorf("content type %s", contentType)
	}
	parse(t, text)
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestOpenMetrics(t *testing.T) {
	text, contentType := scrape(t, Handler(everything()), "application/openmetrics-text; version=1.0.0")
	if !strings.HasPrefix(contentType, "application/openmetrics-text") {
		t.Errorf("content type %s", contentType)
	}
	if !bytes.HasSuffix(text, []byte("\n# EOF\n")) {
		t.Error("it has no end")
	}
	if !bytes.Contains(text, []byte("\ngatehouse_messages_dropped_total{cause=\"queue_full\"} 0.0\n")) {
		t.Errorf("no drops in\n%s", text)
	}
}

// Every metric is in docs/metrics.md with its type and labels, and nothing else
// is there.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(gatehouse_\\w+)` \\| (\\w+) \\| ([^|]*) \\| [^|]+ \\|$").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = m[2] + " " + strings.ReplaceAll(strings.TrimSpace(m[3]), "`", "")
	}
	declared := map[string]string{foreignRefused: "gauge plugin"}
	for _, f := range families {
		declared[f.name] = f.typeName() + " " + strings.Join(f.labels, ", ")
	}
	if diff := cmp.Diff(declared, documented); diff != "" {
		t.Errorf("docs/metrics.md (+) does not say what there is (-):\n%s", diff)
	}
}

// What is declared appears, and what appears is declared.
func TestEverythingAppears(t *testing.T) {
	text, _ := scrape(t, Handler(everything()), "text/plain")
	got := parse(t, text)
	maps.DeleteFunc(got, func(name string, _ *dto.MetricFamily) bool { return !strings.HasPrefix(name, namespace) })
	want := []string{foreignRefused}
	for _, f := range families {
		want = append(want, f.name)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("scraped (+) is not what is declared (-):\n%s", diff)
	}
}

func TestValues(t *testing.T) {
	text, _ := scrape(t, Handler(everything()), "text/plain")
	for _, line := range []string{
		`gatehouse_build_info{goversion="go`,
		`gatehouse_plugin_restarts_total{plugin="rules"} 2`,
		`gatehouse_plugin_state{plugin="rules",state="ready"} 1`,
		`gatehouse_plugin_state{plugin="rules",state="failed"} 0`,
		`gatehouse_plugin_serving{plugin="store"} 0`,
		`gatehouse_plugin_breaker_state{hook="publish",plugin="rules",state="open"} 1`,
		`gatehouse_plugin_call_duration_seconds_bucket{hook="publish",outcome="drop",plugin="rules",le="1e-05"} 1`,
		`gatehouse_plugin_call_duration_seconds_bucket{hook="publish",outcome="drop",plugin="rules",le="8e-05"} 3`,
		`gatehouse_plugin_call_duration_seconds_bucket{hook="publish",outcome="drop",plugin="rules",le="+Inf"} 7`,
		`gatehouse_plugin_call_duration_seconds_sum{hook="publish",outcome="drop",plugin="rules"} 3`,
		`gatehouse_plugin_events_lost_total{plugin="rules"} 9`,
		`gatehouse_retained_pending 5`,
		`gatehouse_retained_store_revision{plugin="store"} 13`,
		`gatehouse_certificate_expiry_timestamp_seconds{listener="tls",serial="1f",subject="CN=broker"} 1.8e+09`,
		`gatehouse_messages_total{direction="sent",qos="2",version="3.1.1"} 0`,
		`gatehouse_connections_refused_total{cause="banned"} 0`,
		`gatehouse_store_failing 1`,
		`gatehouse_store_waiting_changes 15`,
		`gatehouse_store_unreadable_sessions 21`,
		`gatehouse_store_sync_duration_seconds_bucket{le="0.0001"} 0`,
		`gatehouse_store_sync_duration_seconds_bucket{le="0.0002"} 2`,
		`gatehouse_store_sync_duration_seconds_bucket{le="+Inf"} 3`,
		`gatehouse_shadow_compared_total{hook="publish",plugin="rules"} 23`,
		`gatehouse_shadow_differ_total{hook="publish",plugin="rules"} 3`,
		`gatehouse_shadow_left_out_total{plugin="rules"} 9`,
		`gatehouse_authentications_waiting 0`,
		`go_goroutines `,
	} {
		if !bytes.Contains(text, []byte("\n"+line)) {
			t.Errorf("not there: %s", line)
		}
	}
}

// Where the store of sessions keeps the retained messages, it tells of them like a
// plugin.
func TestRetainedOnDisk(t *testing.T) {
	from := everything()
	from.Store = func() string { return OnDisk }
	text, _ := scrape(t, Handler(from), "")
	for _, line := range []string{
		`gatehouse_retained_pending 22`,
		`gatehouse_retained_store_revision{plugin="disk"} 23`,
		`gatehouse_retained_store_bytes{plugin="disk"} 24`,
	} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("%s is not there", line)
		}
	}
}
