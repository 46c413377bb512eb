package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var migrateBlock = regexp.MustCompile("(?ms)^<!-- (file: \\S+|prints) -->\n```[a-z]*\n(.*?)^```$")

// What docs/migrate-from-mosquitto.md shows is what comes of its example, and
// the broker takes it.
func TestMigrateFromMosquitto(t *testing.T) {
	text, err := os.ReadFile("../../docs/migrate-from-mosquitto.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var users, notes string
	for _, b := range migrateBlock.FindAllStringSubmatch(string(text), -1) {
		switch name := strings.TrimPrefix(b[1], "file: "); name {
		case "prints":
			notes = b[2]
		case "gatehouse/users.yaml":
			users = b[2]
		default:
			if err := os.WriteFile(name, []byte(b[2]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if users == "" || notes == "" {
		t.Fatal("the page shows no result")
	}
	said := printed(t, "import", "mosquitto", "mosquitto.conf", "--out", "gatehouse")
	_, remarks, _ := strings.Cut(said, "To be looked at:\n")
	remarks, _, _ = strings.Cut(remarks, "\n\n")
	var got []string
	for line := range strings.Lines(remarks) {
		got = append(got, strings.TrimSpace(line))
	}
	want := "^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(notes)), "…", ".*") + "$"
	if !regexp.MustCompile(want).MatchString(strings.Join(got, "\n")) {
		t.Errorf("it names\n%s", strings.Join(got, "\n"))
	}
	written, err := os.ReadFile(filepath.Join("gatehouse", "users.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != users {
		t.Errorf("the users are\n%s", written)
	}
	config, err := os.ReadFile(filepath.Join("gatehouse", "gatehouse.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	where, err := filepath.Abs("gatehouse/users.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Wherever the broker is started, it finds its users.
	if !strings.Contains(string(config), "file: "+where+"\n") {
		t.Errorf("the configuration does not name %s:\n%s", where, config)
	}
	printed(t, "serve", "--config", "gatehouse/gatehouse.yaml", "--check-config")
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// The configurations that the guides show are ones that the broker takes.
func TestGuidesShowGoodConfigurations(t *testing.T) {
	for _, page := range []string{"admin.md", "operations.md", "migrate-from-mqttnet.md"} {
		text, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows none", page)
		}
		for _, b := range blocks {
			if strings.HasPrefix(b[1], "scrape_configs:") || strings.HasPrefix(b[1], "livenessProbe:") {
				continue // for others
			}
			if _, err := parseConfig(page, []byte(b[1])); err != nil {
				t.Errorf("%s\n%v", b[1], err)
			}
		}
	}
}
