package conformance_test

import (
	"encoding/csv"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root      = "../.."
	tableFile = root + "/docs/protocol.md"
	exemption = "Does not apply: "
	here      = "internal/conformance"
	oddNumber = "MQTT-3-8.3-4" // as 3.1.1 prints it; the list of numbers lacks it

	unnumbered = "3.1" // the version whose specification numbers nothing
)

// row is one line of the table of statements.
type row struct {
	version, id         string
	says, where, proved string
	line                int
}

// TestTable holds docs/protocol.md to what it promises: every statement of the
// specifications has a row, and a row names code and tests that exist.
func TestTable(t *testing.T) {
	rows := readTable(t)
	byID := make(map[[2]string]row)
	for _, r := range rows {
		key := [2]string{r.version, r.id}
		if other, ok := byID[key]; ok {
			t.Errorf("line %d: %s has a row in line %d already", r.line, r.id, other.line)
		}
		byID[key] = r
	}
	statements := readStatements(t)
	for _, key := range statements {
		if _, ok := byID[key]; !ok {
			t.Errorf("MQTT %s: %s has no row", key[0], key[1])
		}
	}
	code := newSources(t)
	for _, r := range rows {
		if r.version != unnumbered && r.id != oddNumber && !slices.Contains(statements, [2]string{r.version, r.id}) {
			t.Errorf("line %d: MQTT %s has no statement %s", r.line, r.version, r.id)
		}
		if r.says == "" || r.where == "" || r.proved == "" {
			t.Errorf("line %d: %s has an empty cell", r.line, r.id)
		}
		for _, wrong := range append(code.checkWhere(r.where), code.checkProof(r.proved)...) {
			t.Errorf("line %d: %s: %s", r.line, r.id, wrong)
		}
	}
}

// readStatements returns version and number of every statement.
func readStatements(t *testing.T) [][2]string {
	t.Helper()
	f, err := os.Open("testdata/normative-statements.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all [][2]string
	for _, l := range lines[1:] {
		all = append(all, [2]string{l[0], l[1]})
	}
	if len(all) != 140+251 {
		t.Errorf("%d statements", len(all))
	}
	return all
}

// readTable returns the rows whose first cell is a statement's number, by the
// section "## MQTT VERSION" that they stand in, and those of MQTT 3.1.
func readTable(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	version := ""
	for i, line := range strings.Split(string(text), "\n") {
		if v, ok := strings.CutPrefix(line, "## "); ok {
			version = strings.TrimPrefix(v, "MQTT ")
		}
		// Of 3.1, which numbers nothing, the first cell tells the difference.
		head := strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| what is different ")
		if !strings.HasPrefix(line, "| MQTT-") && (version != unnumbered || head || !strings.HasPrefix(line, "|")) {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		if len(cells) != 4 {
			t.Errorf("line %d has %d cells, want 4", i+1, len(cells))
			continue
		}
		rows = append(rows, row{version, cells[0], cells[1], cells[2], cells[3], i + 1})
	}
	return rows
}

// sources looks things up in the Go files of the repository, each of which is
// parsed once.
type sources struct {
	t     *testing.T
	files map[string]*ast.File                // by path from the root; nil if there is none
	tests map[string]map[string]*ast.FuncDecl // by package and name
	names map[string]map[string]bool          // by package: the strings in its tests' tables
}

func newSources(t *testing.T) *sources {
	t.Helper()
	return &sources{
		t: t, files: make(map[string]*ast.File), tests: make(map[string]map[string]*ast.FuncDecl),
		names: make(map[string]map[string]bool),
	}
}

func (s *sources) file(path string) *ast.File {
	if f, ok := s.files[path]; ok {
		return f
	}
	var f *ast.File
	if _, err := os.Stat(filepath.Join(root, path)); err == nil {
		if f, err = parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution); err != nil {
			s.t.Fatal(err)
		}
	}
	s.files[path] = f
	return f
}

var quoted = regexp.MustCompile("`([^`]+)`")

// checkWhere looks for `path/file.go Name`: a file, and what it declares.
func (s *sources) checkWhere(cell string) (wrong []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		path, names, _ := strings.Cut(m[1], " ")
		f := s.file(path)
		if f == nil {
			wrong = append(wrong, "there is no "+path)
			continue
		}
		for name := range strings.FieldsSeq(names) {
			if !declares(f, name) {
				wrong = append(wrong, path+" declares no "+name)
			}
		}
	}
	return wrong
}

// declares reports whether a file declares a function, method, type, variable
// or constant of this name.
func declares(f *ast.File, name string) (found bool) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			found = found || d.Name.Name == name
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					found = found || spec.Name.Name == name
				case *ast.ValueSpec:
					found = found || slices.ContainsFunc(spec.Names, func(i *ast.Ident) bool { return i.Name == name })
				}
			}
		}
	}
	return found
}

// checkProof looks for `TestX/sub`, of this package, and `core/x TestX/sub`.
func (s *sources) checkProof(cell string) (wrong []string) {
	if reason, ok := strings.CutPrefix(cell, exemption); ok {
		if len(reason) < 10 {
			wrong = append(wrong, "no reason why it does not apply")
		}
		return wrong
	}
	tests := quoted.FindAllStringSubmatch(cell, -1)
	if len(tests) == 0 {
		return []string{"names no test and no reason"}
	}
	for _, m := range tests {
		pkg, name, found := strings.Cut(m[1], " ")
		if !found {
			pkg, name = here, m[1]
		}
		test, sub, _ := strings.Cut(name, "/")
		body, ok := s.testsOf(pkg)[test]
		if !ok {
			wrong = append(wrong, pkg+" has no "+test)
			continue
		}
		for level := range strings.SplitSeq(sub, "/") {
			if sub != "" && !s.hasSubtest(pkg, body, level) {
				wrong = append(wrong, test+" has no subtest "+level)
			}
		}
	}
	return wrong
}

// testsOf returns the test functions of a package.
func (s *sources) testsOf(pkg string) map[string]*ast.FuncDecl {
	if tests, ok := s.tests[pkg]; ok {
		return tests
	}
	tests, names := make(map[string]*ast.FuncDecl), make(map[string]bool)
	paths, _ := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	for _, p := range paths {
		f := s.file(filepath.Join(pkg, filepath.Base(p)))
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				tests[fn.Name.Name] = fn
			} else if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				literals(g, names)
			}
		}
	}
	s.tests[pkg], s.names[pkg] = tests, names
	return tests
}

// hasSubtest reports whether a test may have a subtest of this name: one of the
// versions, or a string that stands in its body or in a table of its package.
func (s *sources) hasSubtest(pkg string, test *ast.FuncDecl, name string) bool {
	if slices.Contains([]string{"3.1", "3.1.1", "5"}, name) {
		return true
	}
	names := make(map[string]bool)
	literals(test, names)
	name = subtestName(name)
	return names[name] || s.names[pkg][name]
}

// literals adds the strings below a node, as go test shows them.
func literals(n ast.Node, to map[string]bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if text, err := strconv.Unquote(l.Value); err == nil {
				to[subtestName(text)] = true
			}
		}
		return true
	})
}

func subtestName(s string) string { return strings.ReplaceAll(s, " ", "_") }
