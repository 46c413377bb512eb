package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every key of the configuration file is in operations.md, and every key there
// is in the configuration file.
func TestConfigurationKeys(t *testing.T) {
	structs := configStructs(t)
	documented := documentedKeys(t)
	general := keysOf(structs, "config")
	for _, sub := range []struct{ key, section, name string }{
		{"listeners", "listeners", "listenerConfig"},
		{"limits", "limits", "limitsConfig"},
		{"mqtt", "mqtt", "mqttConfig"},
		{"retained", "retained", "retainedConfig"},
		{"plugins", "plugins", "pluginConfig"},
	} {
		general = slices.DeleteFunc(general, func(k string) bool { return k == sub.key })
		compare(t, sub.section, keysOf(structs, sub.name), documented[sub.section])
	}
	// Of its tls the listeners' table tells.
	compare(t, "admin", append(slices.DeleteFunc(keysOf(structs, "adminConfig"), func(k string) bool { return strings.HasPrefix(k, "tls.") }), "tls"),
		documented["admin"])
	general = slices.DeleteFunc(general, func(k string) bool { return k == "admin" })
	compare(t, "Configuration", general, documented["Configuration"])
	for _, name := range []string{"policyConfig", "listenerLimitsConfig"} {
		for _, key := range keysOf(structs, name) {
			if !strings.Contains(page(t, "operations.md"), "`"+key+"`") {
				t.Errorf("operations.md does not have %s of %s", key, name)
			}
		}
	}
}

func compare(t *testing.T, section string, code, text []string) {
	t.Helper()
	for _, key := range code {
		if !slices.Contains(text, key) {
			t.Errorf("operations.md, %s: the key %s is missing", section, key)
		}
	}
	for _, key := range text {
		if !slices.Contains(code, key) {
			t.Errorf("operations.md, %s: there is no key %s", section, key)
		}
	}
}

// configStructs are the structs of cmd/broker/config.go by name.
func configStructs(t *testing.T) map[string]*ast.StructType {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "cmd", "broker", "config.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	structs := make(map[string]*ast.StructType)
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if s, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name] = s
			}
		}
		return true
	})
	return structs
}

// keysOf returns the keys of a struct. Those of log, tls and the like belong to
// their parents, as the tables have them.
func keysOf(structs map[string]*ast.StructType, name string) []string {
	var keys []string
	for _, f := range structs[name].Fields.List {
		tag, _ := strconv.Unquote(f.Tag.Value)
		key := reflect.StructTag(tag).Get("yaml")
		switch key {
		case "flapping", "log", "metrics", "observer", "tls", "traces", "websocket", "proxy_protocol":
			of := f.Type
			if star, ok := of.(*ast.StarExpr); ok {
				of = star.X
			}
			for _, sub := range keysOf(structs, of.(*ast.Ident).Name) {
				keys = append(keys, key+"."+sub)
			}
			continue
		case "certificates":
			for _, sub := range keysOf(structs, "certificateConfig") {
				keys = append(keys, key+"[]."+sub)
			}
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var quoted = regexp.MustCompile("`([^`]+)`")

// documentedKeys returns what stands in the first column of the tables below
// "Configuration", by section.
func documentedKeys(t *testing.T) map[string][]string {
	t.Helper()
	_, text, _ := strings.Cut(page(t, "operations.md"), "\n## Configuration\n")
	text, _, found := strings.Cut(text, "\n## ")
	if !found {
		t.Fatal("operations.md has no section Configuration, or nothing behind it")
	}
	keys := make(map[string][]string)
	section := "Configuration"
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "### "); ok {
			section = strings.TrimSpace(title)
		}
		if row, ok := strings.CutPrefix(line, "| `"); ok {
			cell, _, _ := strings.Cut("`"+row, " |")
			for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
				keys[section] = append(keys[section], m[1])
			}
		}
	}
	return keys
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links lead to files that exist.
func TestLinks(t *testing.T) {
	root := ".."
	pages := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		pages++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s: link to %s: %v", path, m[1], err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages < 8 {
		t.Errorf("only %d pages were found", pages)
	}
}

// The table of scopes in plugins.md has every call of the host service under the
// scope that it needs.
func TestScopes(t *testing.T) {
	want := make(map[string]string)
	text, err := os.ReadFile(filepath.Join("..", "core", "pluginhost", "hostscope.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`HostService_(\w+)_FullMethodName:\s+"([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
		if m[2] != "" {
			want[m[1]] = m[2]
		}
	}
	_, section, _ := strings.Cut(page(t, "plugins.md"), "\n## Calling the broker\n")
	section, _, _ = strings.Cut(section, "\n## ")
	got := make(map[string]string)
	for line := range strings.Lines(section) {
		if row, ok := strings.CutPrefix(line, "| `"); ok {
			scope, rest, _ := strings.Cut(row, "` | ")
			calls, _, _ := strings.Cut(rest, " |")
			for call := range strings.SplitSeq(calls, ", ") {
				got[call] = scope
			}
		}
	}
	if len(want) < 15 || !maps.Equal(want, got) {
		t.Errorf("plugins.md has %v, the host service %v", got, want)
	}
}
