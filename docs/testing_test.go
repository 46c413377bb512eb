package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every option of "broker plugin check" is in testing-plugins.md, and every one
// of it and of "broker plugin bench" that is there exists.
func TestCheckOptions(t *testing.T) {
	text := page(t, "testing-plugins.md")
	common := flagsOf(t, "probe.go", "probeFlags")
	check := append(flagsOf(t, "plugincheck.go", "pluginCheckCmd"), common...)
	bench := append(flagsOf(t, "pluginbench.go", "pluginBenchCmd"), common...)
	documented := regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(text, -1)
	for _, flag := range check {
		if !strings.Contains(text, "`--"+flag) {
			t.Errorf("testing-plugins.md does not have --%s", flag)
		}
	}
	for _, m := range documented {
		if !slices.Contains(check, m[1]) && !slices.Contains(bench, m[1]) {
			t.Errorf("testing-plugins.md has --%s, which does not exist", m[1])
		}
	}
	if len(check) < 10 || len(documented) < 10 {
		t.Errorf("found %d options and %d in the text", len(check), len(documented))
	}
}

// flagsOf are the names of a command's options, as kong makes them.
func flagsOf(t *testing.T, file, name string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "cmd", "broker", file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			if len(f.Names) == 0 {
				continue // embedded
			}
			raw, _ := strconv.Unquote(f.Tag.Value)
			tag := reflect.StructTag(raw)
			if _, argument := tag.Lookup("arg"); argument {
				continue
			}
			flag := tag.Get("name")
			if flag == "" {
				flag = strings.ToLower(regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(f.Names[0].Name, "$1-$2"))
			}
			flags = append(flags, flag)
		}
		return false
	})
	return flags
}

// The names of package plugintest in testing-plugins.md exist, and what is Go
// there is Go.
func TestPlugintestNames(t *testing.T) {
	text := page(t, "testing-plugins.md")
	exported := exportedNames(t, filepath.Join("..", "pluginapi", "plugintest"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(text, -1)
	for _, b := range blocks {
		if _, err := parser.ParseFile(token.NewFileSet(), "block.go", "package p\n"+b[1], 0); err != nil {
			t.Errorf("%v in\n%s", err, b[1])
		}
	}
	names := regexp.MustCompile(`plugintest\.([A-Z]\w*)`).FindAllStringSubmatch(text, -1)
	_, list, _ := strings.Cut(text, "also has\n")
	list, _, _ = strings.Cut(list, "```")
	names = append(names, regexp.MustCompile("`([A-Z]\\w*)`").FindAllStringSubmatch(list, -1)...)
	if len(blocks) < 2 || len(names) < 15 {
		t.Errorf("found %d blocks and %d names", len(blocks), len(names))
	}
	for _, m := range names {
		if !slices.Contains(exported, m[1]) {
			t.Errorf("testing-plugins.md has plugintest.%s, which does not exist", m[1])
		}
	}
}

func exportedNames(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
