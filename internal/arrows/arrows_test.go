package arrows

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

var systems = []string{"linux", "darwin", "windows"}

func loaded(t *testing.T, system string) graph {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	g, err := load(root, system)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestArrows(t *testing.T) {
	for _, system := range systems {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			g := loaded(t, system)
			for _, wrong := range slices.Concat(g.strays(rows), g.breaches(bans)) {
				t.Error(wrong)
			}
		})
	}
}

// Every row and every ban is about something that exists: one that names a
// package that was moved would hold nothing.
func TestRulesAreAboutSomething(t *testing.T) {
	g := loaded(t, "linux")
	ours := g.ours()
	exists := func(pattern string) bool {
		return slices.ContainsFunc(ours, func(name string) bool { return fits(pattern, name) })
	}
	for _, r := range rows {
		for _, pattern := range append([]string{r.pkg}, r.may...) {
			if !exists(pattern) {
				t.Errorf("row %s: there is no package %s", r.rule, pattern)
			}
		}
	}
	for _, b := range bans {
		for _, pattern := range append([]string{b.from}, b.except...) {
			if !exists(pattern) {
				t.Errorf("ban of %s: there is no package %s", list(b.never), pattern)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	g := loaded(t, "linux")
	for _, name := range g.ours() {
		p := g[name]
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command " + name[strings.LastIndex(name, "/")+1:] + " "
		}
		if !fits("proto/...", name) && !strings.HasPrefix(p.Doc, want) {
			t.Errorf("the comment of package %s has to begin with %q, and say what it is for: %q", name, want, p.Doc)
		}
	}
}

// The linter shows a wrong import in the editor, before any test runs. It has
// to know the same arrows and reasons.
func TestLinterKnowsArrows(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Allow []string
		Deny  []struct{ Pkg, Desc string }
	}
	var file struct {
		Linters struct {
			Settings struct {
				Depguard struct{ Rules map[string]rule }
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		got, ok := file.Linters.Settings.Depguard.Rules[r.rule]
		if !ok {
			t.Errorf("depguard has no rule %s", r.rule)
			continue
		}
		want := rule{Deny: []struct{ Pkg, Desc string }{{module, r.why}}}
		for _, name := range r.may {
			// depguard takes a name with $ at its end for that package alone,
			// and one without for all below it too.
			path, tree := strings.CutSuffix(module+"/"+name, "/...")
			if !tree {
				path += "$"
			}
			want.Allow = append(want.Allow, path)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("depguard's rule %s (+) is not that of rules_test.go (-):\n%s", r.rule, diff)
		}
	}
}

// What the tests above find, if there is something to find.
func TestFindings(t *testing.T) {
	ours := &struct{ Path string }{module}
	g := graph{
		"core/low":                 {Module: ours, Imports: []string{"fmt"}},
		"core/high":                {Module: ours, Imports: []string{"core/low", "core/far"}},
		"core/far":                 {Module: ours, Imports: []string{"example.com/heavy/engine"}},
		"core/new":                 {Module: ours},
		"cmd/tool":                 {Module: ours, Imports: []string{"core/high", "example.com/heavy"}},
		"example.com/heavy/engine": {},
	}
	strays := g.strays([]row{
		{"low", "core/low", nil, "it is low"},
		{"high", "core/high", []string{"core/low"}, "it is high"},
		{"far", "core/far", nil, "it is far"},
	})
	breaches := g.breaches([]ban{
		{"core/...", []string{"core/far"}, []string{"example.com/heavy/..."}, "it is heavy"},
		{"core/low", nil, []string{"os"}, "never seen"},
	})
	want := []string{
		"core/high imports core/far, and may import core/low of this module: it is high",
		"core/new has no row in rules_test.go that says what it may import, and why",
		"core/high -> core/far -> example.com/heavy/engine: it is heavy",
	}
	if diff := cmp.Diff(want, slices.Concat(strays, breaches)); diff != "" {
		t.Error(diff)
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"core/mqtt", "core/mqtt", true},
		{"core/mqtt", "core/mqttx", false},
		{"core/mqtt", "core/mqtt/sub", false},
		{"core/...", "core", true},
		{"core/...", "core/a/b", true},
		{"core/...", "corex/a", false},
		{"...", "anything", true},
	} {
		if got := fits(c.pattern, c.name); got != c.want {
			t.Errorf("fits(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}
