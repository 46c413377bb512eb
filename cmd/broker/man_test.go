package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// printed is what a command line prints.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(args, strings.NewReader(""), &out, &errs); status != 0 {
		t.Fatalf("%q ended with %d: %s", args, status, &errs)
	}
	return out.String()
}

// Every command that the help shows has a section in broker(1), with its flags;
// what it hides has none.
func TestCommandManual(t *testing.T) {
	page := printed(t, "man")
	parser, err := kong.New(&command{}, kong.Name("broker"))
	if err != nil {
		t.Fatal(err)
	}
	leaves := parser.Model.Leaves(true)
	if len(leaves) < 20 {
		t.Fatalf("%d commands", len(leaves))
	}
	for _, leaf := range leaves {
		name := strings.TrimPrefix(leaf.FullPath(), "broker ")
		_, section, found := strings.Cut(page, "\n.SS "+roffArg(name)+"\n")
		section, _, _ = strings.Cut(section, "\n.S")
		if !found {
			t.Errorf("nothing about %q", name)
		}
		for _, f := range leaf.Flags {
			if !f.Hidden && !strings.Contains(section, roffText("--"+f.Name)) {
				t.Errorf("%s: nothing about --%s", name, f.Name)
			}
		}
	}
	if strings.Contains(page, ".SS \"man\"") {
		t.Error("a hidden command is shown")
	}
}

// Every key that the schema describes is in gatehouse.yaml(5).
func TestConfigManual(t *testing.T) {
	page := printed(t, "man", "gatehouse.yaml")
	for _, key := range []string{
		"limits.packet_size", "log.level", "listeners[].url", "listeners[].tls.certificates[].key", "plugins.NAME.config", "plugins.NAME.interceptor",
	} {
		if !strings.Contains(page, "\n\\fB"+roffText(key)+"\\fR\n") {
			t.Errorf("nothing about %s", key)
		}
	}
	schema := new(schemaNode)
	if err := json.Unmarshal([]byte(configSchema), schema); err != nil {
		t.Fatal(err)
	}
	for name := range schema.Properties {
		if !regexp.MustCompile(`(?m)^\\fB` + name + `\b`).MatchString(page) {
			t.Errorf("nothing about %s", name)
		}
	}
}

// No line of a page is taken for something else by roff.
func TestManualsAreRoff(t *testing.T) {
	for _, page := range [][]string{{"man"}, {"man", "gatehouse.yaml"}} {
		text := printed(t, page...)
		for line := range strings.Lines(text) {
			if !regexp.MustCompile(`^(\.(TH|SH|SS|PP|TP)\b|[^.'])`).MatchString(line) {
				t.Errorf("%q", line)
			}
		}
		groff, err := exec.LookPath("groff")
		if err != nil {
			continue
		}
		cmd := exec.Command(groff, "-man", "-ww", "-z", "-Tutf8")
		cmd.Stdin = strings.NewReader(text)
		if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("%v: %v\n%s", page, err, said)
		}
	}
}

func TestRoffText(t *testing.T) {
	for text, want := range map[string]string{
		".TH is no macro here": `\&.TH is no macro here`,
		"'quoted'":             `\(aqquoted\(aq`,
		`a\b --c "d" ~e ^f`:    `a\eb \-\-c \(dqd\(dq \(tie \(haf`,
		"one\n.two":            "one .two",
	} {
		if got := roffText(text); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}
