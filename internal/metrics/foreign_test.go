package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

// tell is a broker whose plugins tell this of themselves.
func tell(texts map[string]string) Sources {
	s := everything()
	p := &fakePlugins{texts: texts}
	for _, name := range []string{"one", "two"} {
		p.list = append(p.list, pluginhost.Status{Name: name, State: pluginhost.Ready})
	}
	s.Plugins = p
	return s
}

const goodForeign = `# HELP authfile_decisions_total Decisions.
# TYPE authfile_decisions_total counter
authfile_decisions_total{outcome="allowed"} 3 1700000000000
authfile_decisions_total{outcome="bad \"password\""} 4
# HELP lookup_seconds Lookups.
# TYPE lookup_seconds histogram
lookup_seconds_bucket{le="0.1"} 1
lookup_seconds_bucket{le="+Inf"} 2
lookup_seconds_sum 3
lookup_seconds_count 2
`

func TestForeignMetrics(t *testing.T) {
	h := Handler(tell(map[string]string{"one": goodForeign, "two": goodForeign}))
	text, _ := scrape(t, h, "text/plain")
	parse(t, text)
	for _, line := range []string{
		`gatehouse_ext_authfile_decisions_total{outcome="allowed",plugin="one"} 3`,
		`gatehouse_ext_authfile_decisions_total{outcome="bad \"password\"",plugin="two"} 4`,
		`gatehouse_ext_lookup_seconds_bucket{plugin="two",le="0.1"} 1`,
		`gatehouse_plugin_metrics_refused{plugin="one"} 0`,
	} {
		if !bytes.Contains(text, []byte("\n"+line+"\n")) {
			t.Errorf("not there: %s\n%s", line, text)
		}
	}
	if problems, err := promlint.New(bytes.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// A plugin that tells nonsense loses its own metrics and nobody else's.
func TestHostileForeignMetrics(t *testing.T) {
	many := new(strings.Builder)
	for i := range maxForeignSeries + 1 {
		fmt.Fprintf(many, "m{n=\"%d\"} 1\n", i)
	}
	for name, text := range map[string]string{
		"nonsense":            "\x00\xff{{{",
		"an error":            "!it does not want to",
		"hangs":               "hangs",
		"too large":           strings.Repeat("# padding\n", maxForeignText/10+1),
		"too many":            many.String(),
		"another's name":      "m{plugin=\"two\"} 1\n",
		"reserved label":      "m{__name__=\"up\"} 1\n",
		"label twice":         "m{a=\"1\",a=\"2\"} 1\n",
		"series twice":        "m{a=\"1\"} 1\nm{a=\"1\"} 2\n",
		"colon":               "job:m 1\n",
		"long label":          "m{a=\"" + strings.Repeat("x", maxForeignValue+1) + "\"} 1\n",
		"long name":           strings.Repeat("m", maxForeignName+1) + " 1\n",
		"not UTF-8":           "m{a=\"\xff\"} 1\n",
		"negative counter":    "# TYPE m_total counter\nm_total -1\n",
		"NaN counter":         "# TYPE m_total counter\nm_total NaN\n",
		"buckets shrink":      "# TYPE m histogram\nm_bucket{le=\"1\"} 5\nm_bucket{le=\"2\"} 3\nm_bucket{le=\"+Inf\"} 5\nm_sum 1\nm_count 5\n",
		"another's type":      "# TYPE authfile_decisions_total gauge\nauthfile_decisions_total 1\n",
		"another's sample":    "lookup_seconds_count 1\n",
		"own clash":           "# TYPE m counter\nm 1\n# TYPE m_total gauge\nm_total 2\n",
		"clash of histograms": "# TYPE m histogram\nm_bucket{le=\"+Inf\"} 1\nm_sum 1\nm_count 1\n# TYPE m_created gauge\nm_created 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			from := tell(map[string]string{"one": goodForeign, "two": text})
			from.Logger = slog.New(slog.NewTextHandler(&log, nil))
			h := Handler(from)
			for range 2 {
				text, _ := scrape(t, h, "text/plain")
				got := parse(t, text)
				if got["gatehouse_ext_authfile_decisions_total"] == nil {
					t.Errorf("the other's metrics are gone:\n%s", text)
				}
				if bytes.Contains(text, []byte("_ext_m")) || !bytes.Contains(text, []byte("gatehouse_plugin_metrics_refused{plugin=\"two\"} 1")) {
					t.Errorf("it is shown:\n%s", text)
				}
			}
			if n := strings.Count(log.String(), "are not shown"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, log.String())
			}
		})
	}
}

// Who was refused is shown again once there is nothing wrong any more.
func TestForeignMetricsComeBack(t *testing.T) {
	texts := map[string]string{"one": "{"}
	from := tell(texts)
	var log bytes.Buffer
	from.Logger = slog.New(slog.NewTextHandler(&log, nil))
	h := Handler(from)
	scrape(t, h, "text/plain")
	texts["one"] = goodForeign
	text, _ := scrape(t, h, "text/plain")
	if !bytes.Contains(text, []byte(`gatehouse_ext_lookup_seconds_count{plugin="one"} 2`)) || !strings.Contains(log.String(), "shown again") {
		t.Errorf("%s\n%s", text, log.String())
	}
}

func FuzzReadForeign(f *testing.F) {
	f.Add([]byte(goodForeign))
	f.Add([]byte("# TYPE m summary\nm{quantile=\"0.5\"} 1\nm_sum 1\nm_count 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		told, err := readForeign("p", text)
		if err != nil {
			return
		}
		if err := newShelf().add(told); err != nil {
			return
		}
		h := Handler(tell(map[string]string{"one": string(text)}))
		out, _ := scrape(t, h, "text/plain")
		parse(t, out)
	})
}
