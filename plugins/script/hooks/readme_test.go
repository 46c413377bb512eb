package hooks

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// README.md shows the defaults, and names every metric.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	json, err := yaml.YAMLToJSON(block[1])
	if err != nil {
		t.Fatal(err)
	}
	got, err := readConfig(pluginapi.NewSetup(json))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.HTTP.Hosts = []string{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	p, err := newScripts(t.Context(), pluginapi.NewSetup(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop(t.Context()) }()
	metrics, err := p.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(string(metrics), -1) {
		if !strings.Contains(string(text), "`"+m[1]+"`") {
			t.Errorf("metric %s is not explained", m[1])
		}
	}
}
