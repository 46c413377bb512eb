package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Variables stand for values of every type, and for nothing else.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"PORT": "1884", "OPEN": "true", "LEVEL": "debug", "WAIT": "3s", "SIZE": "64KiB", "EMPTY": "", "QOS": "1",
		"EVIL": "x\nallow_anonymous: true", "HASH": "a: b # c", "NUMBER": "007",
	} {
		t.Setenv(name, value)
	}
	cfg, err := parseConfig("gatehouse.yaml", []byte(`
listeners: [{url: "tcp://${HOST:-127.0.0.1}:${PORT}", limits: {max_qos: "${QOS}"}}]
allow_anonymous: ${OPEN}
log: {level: "${LEVEL}", format: "${EMPTY:-json}"}
limits: {connect_timeout: "${WAIT}", packet_size: "${SIZE}", sessions: "${SESSIONS:-7}", max_qos: "${QOS}"}
plugin_dir: ${EMPTY}
data_dir: "a$${b}"
run_dir: ${EVIL}
plugins: {x: {config: {secret: "${HASH}", list: ["${NUMBER}", "${QOS}"], number: 5, text: "no $variable"}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if l := cfg.Listeners[0]; l.URL != "tcp://127.0.0.1:1884" || l.Limits.MaxQoS == nil || *l.Limits.MaxQoS != 1 {
		t.Errorf("listener %+v", l)
	}
	if !cfg.AllowAnonymous || cfg.Log.Level != "debug" || cfg.Log.Format != "json" || cfg.PluginDir != "" || cfg.DataDir != "a${b}" {
		t.Errorf("got %+v", cfg)
	}
	if cfg.RunDir != "x\nallow_anonymous: true" {
		t.Errorf("a variable is more than a value: %q", cfg.RunDir)
	}
	if time.Duration(cfg.Limits.ConnectTimeout) != 3*time.Second || cfg.Limits.PacketSize != 64<<10 || cfg.Limits.Sessions != 7 {
		t.Errorf("limits %+v", cfg.Limits)
	}
	x := cfg.Plugins["x"].Config
	if x["secret"] != "a: b # c" || x["text"] != "no $variable" {
		t.Errorf("config %v", x)
	}
	if list, ok := x["list"].([]any); !ok || list[0] != "007" || list[1] != "1" {
		t.Errorf("in quotes they are texts: %v", x["list"])
	}

	for text, want := range map[string]string{
		"data_dir: ${NONE_SUCH}\n":                        "gatehouse.yaml:1:11: the environment has no NONE_SUCH",
		"data_dir: x\nrun_dir: \"${a b}\"\n":              `gatehouse.yaml:2:10: "a b" is no name of a variable`,
		"limits:\n  sessions: ${LEVEL}\n":                 "gatehouse.yaml:2:13: ",
		"limits:\n  connect_timeout: ${LEVEL}\n":          `gatehouse.yaml:2:20: "debug" is not a duration`,
		"data_dir: ${PORT}\nnonsense: ${PORT}\n":          `gatehouse.yaml:2:1: unknown field "nonsense"`,
		"log: {level: \"${WAIT}\"}\ndata_dir: ${PORT}x\n": `gatehouse.yaml:1:14: "3s" is none of`,
	} {
		_, err := parseConfig("gatehouse.yaml", []byte(text))
		var at *configError
		if !errors.As(err, &at) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
