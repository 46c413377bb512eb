package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var (
	metricName = regexp.MustCompile(`\b(gatehouse|go|process)_[a-z0-9_]+`)
	matcher    = regexp.MustCompile(`\b([a-z_]+)(?:=~|!~|!=|=)"`)
)

// checkQuery holds a query against what there is: its metrics, their labels,
// and its parentheses.
func checkQuery(t *testing.T, where, query string, scraped string) {
	t.Helper()
	names := metricName.FindAllString(query, -1)
	if len(names) == 0 && !strings.HasPrefix(query, "up{") {
		t.Errorf("%s: no metric in %q", where, query)
	}
	labels := []string{"job", "instance", "le"}
	for _, name := range names {
		if !strings.Contains(scraped, "\n"+name+"{") && !strings.Contains(scraped, "\n"+name+" ") {
			t.Errorf("%s: there is no metric %s", where, name)
		}
		for _, f := range families {
			if strings.HasPrefix(name, f.name) {
				labels = append(labels, f.labels...)
			}
		}
	}
	for _, m := range matcher.FindAllStringSubmatch(query, -1) {
		if !slices.Contains(labels, m[1]) {
			t.Errorf("%s: no metric of %q has the label %s", where, query, m[1])
		}
	}
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			if !slices.Contains(labels, strings.TrimSpace(label)) {
				t.Errorf("%s: no metric of %q has the label %s", where, query, label)
			}
		}
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(query, pair[:1]) != strings.Count(query, pair[1:]) {
			t.Errorf("%s: %q has a %s too many", where, query, pair)
		}
	}
}

func scraped(t *testing.T) string {
	t.Helper()
	text, _ := scrape(t, Handler(everything()), "text/plain")
	return "\n" + string(text)
}

// Every query of the dashboard asks for what there is, and every panel has a
// place of its own.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../../contrib/grafana/gatehouse.json")
	if err != nil {
		t.Fatal(err)
	}
	type place struct{ X, Y, W, H int }
	var board struct {
		UID    string
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     place
			Targets     []struct{ Expr string }
		}
		Templating struct {
			List []struct {
				Name, Type string
				Query      any
			}
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	there := scraped(t)
	variables := []string{"datasource", "__rate_interval", "__all"}
	for _, v := range board.Templating.List {
		variables = append(variables, v.Name)
		if q, ok := v.Query.(map[string]any); ok {
			checkQuery(t, "variable "+v.Name, q["query"].(string), there)
		}
	}
	ids := make(map[int]bool)
	for i, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the number %d", p.ID)
		}
		ids[p.ID] = true
		for _, o := range board.Panels[:i] {
			a, b := p.GridPos, o.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panel %q is over %q", p.Title, o.Title)
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			checkQuery(t, "panel "+p.Title, target.Expr, there)
		}
	}
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(b), -1) {
		if !slices.Contains(variables, m[1]) {
			t.Errorf("there is no variable %s", m[1])
		}
	}
}

// The alert rules are as Prometheus reads them, and ask for what there is.
func TestAlerts(t *testing.T) {
	b, err := os.ReadFile("../../contrib/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions(b, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	there := scraped(t)
	seen := make(map[string]bool)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || seen[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("rule %q is not complete, or there twice", r.Alert)
			}
			seen[r.Alert] = true
			if r.For != "" && !regexp.MustCompile(`^\d+[smh]$`).MatchString(r.For) {
				t.Errorf("rule %s: for %q", r.Alert, r.For)
			}
			checkQuery(t, "rule "+r.Alert, r.Expr, there)
		}
	}
	if len(seen) == 0 {
		t.Error("there is no rule")
	}
}
