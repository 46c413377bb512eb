package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var updateSchema = flag.Bool("update-schema", false, "write gatehouse.schema.json")

// schemaWriter makes a JSON Schema of the configuration's structs, with what
// operations.md says of each key.
type schemaWriter struct {
	described map[string]map[string]string // by section and key
}

// enumerated are the values of keys that have a few only, by struct and key.
var enumerated = map[string][]string{
	"logConfig.level": {"debug", "info", "warn", "error"}, "logConfig.format": {"text", "json"},
	"limitsConfig.queue_overflow": {"drop-oldest", "drop-newest"},
	"sessionsConfig.queue_full":   {"end-session", "refuse", "drop-oldest", "drop-newest"},
	"mqttConfig.shared_strategy":  {"round-robin", "sticky", "least-in-flight"},
	"tlsConfig.min_version":       {"1.2", "1.3"}, "tlsConfig.client_certificates": {"none", "optional", "required"},
	"tlsConfig.username_from": {"cn", "subject", "dns", "email", "uri", "fingerprint"},
	"sessionsConfig.store":    {"disk", "memory"}, "sessionsConfig.durability": {"sync", "interval", "none"}, "listenerConfig.durability": {"sync", "interval", "none"},
}

// places are where operations.md describes a struct's keys: a section, and what
// stands before each key there.
var places = map[string][2]string{
	"config": {"Configuration", ""}, "metricsConfig": {"Configuration", "metrics."}, "tracesConfig": {"Configuration", "traces."}, "logConfig": {"Configuration", "log."}, "listenerConfig": {"listeners", ""},
	"tlsConfig": {"listeners", "tls."}, "certificateConfig": {"listeners", "tls.certificates[]."},
	"webSocketConfig": {"listeners", "websocket."}, "proxyProtocolConfig": {"listeners", "proxy_protocol."},
	"listenerLimitsConfig": {"limits", ""}, "limitsConfig": {"limits", ""}, "mqttConfig": {"mqtt", ""}, "retainedConfig": {"retained", ""},
	"adminConfig": {"admin", ""}, "sessionsConfig": {"sessions", ""}, "pluginConfig": {"plugins", ""}, "observerConfig": {"plugins", "observer."},
}

type object = map[string]any

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

// orVariable lets a value be a variable of the environment.
func orVariable(o object) object { return object{"anyOf": []any{o, ref("variable")}} }

func (w *schemaWriter) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[duration]():
		return ref("duration")
	case reflect.TypeFor[size]():
		return ref("size")
	case reflect.TypeFor[network]():
		return object{"type": "string"}
	case reflect.TypeFor[mqttVersion]():
		return object{"enum": []any{3.1, "3.1", "3.1.1", 5, "5"}}
	case reflect.TypeFor[onError]():
		return object{"enum": []any{"hold", "refuse", "pass", "disconnect"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.of(t.Elem())
	case reflect.Struct:
		return w.structOf(t)
	case reflect.Slice:
		return object{"type": "array", "items": w.of(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return object{"type": "object"}
		}
		o := object{"type": "object", "additionalProperties": w.of(t.Elem())}
		if t.Elem() == reflect.TypeFor[pluginConfig]() {
			o["propertyNames"] = object{"pattern": pluginName.String()}
			o["additionalProperties"] = object{"anyOf": []any{w.of(t.Elem()), object{"type": "null"}}}
		}
		return o
	case reflect.Bool:
		return orVariable(object{"type": "boolean"})
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float64:
		return orVariable(object{"type": "number"})
	case reflect.Uint8, reflect.Uint16:
		return orVariable(object{"type": "integer", "minimum": 0, "maximum": 1<<t.Bits() - 1})
	default:
		return orVariable(object{"type": "integer", "minimum": 0})
	}
}

func (w *schemaWriter) structOf(t reflect.Type) object {
	properties := make(object)
	for f := range t.Fields() {
		key := f.Tag.Get("yaml")
		p := w.of(f.Type)
		if t.Name() == "pluginConfig" && key == "order" {
			p = orVariable(object{"type": "integer"})
		}
		if list, ok := enumerated[t.Name()+"."+key]; ok {
			p = orVariable(object{"enum": list})
		}
		if text := w.description(t.Name(), key); text != "" {
			p["description"] = text
		}
		properties[key] = p
	}
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}

func (w *schemaWriter) description(of, key string) string {
	place, ok := places[of]
	if !ok {
		return ""
	}
	return w.described[place[0]][place[1]+key]
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	mdLink   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// describe reads the tables of operations.md.
func describe(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Configuration\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	out := map[string]map[string]string{"Configuration": {}}
	section := "Configuration"
	for line := range strings.Lines(rest) {
		if title, ok := strings.CutPrefix(line, "### "); ok {
			section = strings.TrimSpace(title)
			out[section] = make(map[string]string)
		}
		line = strings.ReplaceAll(line, "| |", "|  |") // an empty cell
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) != 3 {
			continue
		}
		about := strings.ReplaceAll(mdLink.ReplaceAllString(strings.TrimSpace(cells[2]), "$1"), "`", "")
		if def := strings.ReplaceAll(mdLink.ReplaceAllString(strings.TrimSpace(cells[1]), "$1"), "`", ""); def != "" {
			about += " (default: " + def + ")"
		}
		for _, m := range codeSpan.FindAllStringSubmatch(cells[0], -1) {
			out[section][m[1]] = about
		}
	}
	return out
}

// The schema is what the structs and operations.md say. -update-schema writes it.
func TestConfigSchema(t *testing.T) {
	w := &schemaWriter{describe(t)}
	s := w.structOf(reflect.TypeFor[config]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Configuration of the Gatehouse broker"
	const unit = `(\.[0-9]+)?(ns|us|µs|ms|s|m|h)`
	s["$defs"] = object{
		"variable": object{"type": "string", "pattern": `\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`, "description": "a variable of the environment"},
		"duration": object{"type": "string", "pattern": `^([0-9]+` + unit + `)+$|\$\{`, "description": "200ms, 5s, 1h30m"},
		"size": object{"anyOf": []any{
			object{"type": "integer", "minimum": 0},
			object{"type": "string", "pattern": `^[0-9]+ *([KMG]i?B|kB|B)?$|\$\{`, "description": "65536, 64KiB, 16MiB"},
		}},
	}
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	if *updateSchema {
		if err := os.WriteFile("gatehouse.schema.json", got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(configSchema, got.String()); diff != "" {
		t.Errorf("go test ./cmd/broker -run TestConfigSchema -update-schema makes it anew (-is +should be)\n%s", diff)
	}
}

// An editor with the schema takes what the broker takes, and finds most of what
// it does not.
func TestConfigSchemaFits(t *testing.T) {
	c := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(configSchema))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("gatehouse.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("gatehouse.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(path string) error {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := yaml.YAMLToJSON(text)
		if err != nil {
			return err
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
	good, _ := filepath.Glob("testdata/*.yaml")
	good = append(good, "../../examples/quickstart/gatehouse.yaml")
	for _, path := range good {
		if err := check(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	// What takes more than one key, or a URL, is beyond a schema.
	beyond := []string{
		"scheme", "two-names", "tls-without-certificate", "tls-on-tcp", "client-ca-missing", "proxy-network", "listener-mountpoint",
		"admin-plain", "admin-port", "admin-token-of-socket", "admin-without-certificate", "shadow",
		"metrics-scheme", "metrics-path", "metrics-remote", "traces-endpoint", "traces-sample",
		"admin-username", "admin-token-without-url", "admin-tls-on-plain", "admin-client-ca", "admin-address", "retained-without-disk",
	}
	bad, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, path := range bad {
		if err := check(path); err == nil && !slices.Contains(beyond, strings.TrimSuffix(filepath.Base(path), ".yaml")) {
			t.Errorf("%s is taken for good", path)
		}
	}
	if len(good) < 2 || len(bad) < 10 {
		t.Errorf("%d good and %d bad files", len(good), len(bad))
	}
}
