package script_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
)

const page = "../../docs/scripting.md"

var update = flag.Bool("update", false, "write the reference into docs/scripting.md")

// The reference is what the tables in the code say. "go test ./internal/script
// -run TestReference -update" writes it.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- reference -->\n", "<!-- /reference -->"
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("there is no place for the reference")
	}
	want := before + begin + "\n" + script.Reference() + "\n" + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Error("the reference is not that of the code: go test ./internal/script -run TestReference -update")
	}
}

var (
	block = regexp.MustCompile("(?s)```python\n(.*?)```\n((?:<!-- .*? -->\n)*)")
	trial = regexp.MustCompile(`<!-- (\w+) (\{.*\}) => (\{.*\}) -->`)
)

// Every script of the page is without fault, and does what the page says of it.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllStringSubmatch(string(text)+string(readme), -1)
	if len(blocks) < 10 {
		t.Fatalf("%d scripts", len(blocks))
	}
	files := fstest.MapFS{"rules.star": {Data: []byte(blocks[0][1])}}
	for _, b := range blocks {
		name := "example.star"
		if strings.HasPrefix(b[1], "# test\n") {
			name = "rules_test.star"
		}
		files[name] = &fstest.MapFile{Data: []byte(b[1])}
		if err := script.Check(t.Context(), files, name, script.Options{Limits: patient(script.Limits{})}); err != nil {
			t.Errorf("%s\n%v", b[1], err)
		}
		if name == "rules_test.star" {
			results, err := script.Test(t.Context(), files, "rules.star", script.Options{Limits: patient(script.Limits{})})
			if err != nil || len(results) == 0 || results[0].Err != nil {
				t.Errorf("%s\n%+v, %v", b[1], results, err)
			}
		}
		for _, m := range trial.FindAllStringSubmatch(b[2], -1) {
			got, err := script.Try(t.Context(), files, name, m[1], []byte(m[2]), script.Options{Limits: patient(script.Limits{})})
			if err != nil {
				t.Errorf("%s %s: %v", m[1], m[2], err)
				continue
			}
			if err := within(got, m[3]); err != nil {
				t.Errorf("%s %s: %v", m[1], m[2], err)
			}
		}
	}
}

// within checks that everything of want, JSON, is in got.
func within(got *script.Trial, want string) error {
	raw, err := json.Marshal(got)
	if err != nil {
		return err
	}
	var g, w any
	if err := errors.Join(json.Unmarshal(raw, &g), json.Unmarshal([]byte(want), &w)); err != nil {
		return err
	}
	if !contains(g, w) {
		return errors.New(want + " is not in " + string(raw))
	}
	return nil
}

func contains(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		for k, v := range want {
			ok = ok && contains(g[k], v)
		}
		return ok
	case []any:
		g, ok := got.([]any)
		ok = ok && len(g) == len(want)
		for i := range want {
			ok = ok && contains(g[i], want[i])
		}
		return ok
	}
	return reflect.DeepEqual(got, want)
}
