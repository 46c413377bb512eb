package plugintest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// recorder takes what Golden says of a test.
type recorder struct {
	testing.TB
	name, said string
}

func (r *recorder) Helper()                        {}
func (r *recorder) Name() string                   { return r.name }
func (r *recorder) Errorf(format string, a ...any) { r.said += fmt.Sprintf(format, a...) }
func (r *recorder) Fatalf(format string, a ...any) { r.Errorf(format, a...); panic(r) }
func (r *recorder) Fatal(a ...any)                 { r.Fatalf("%s", fmt.Sprint(a...)) }

// golden calls Golden for a test of a name and returns what it says.
func golden(name string, got any) (said string) {
	r := &recorder{name: name}
	defer func() {
		if e := recover(); e != nil && e != any(r) {
			panic(e)
		}
		said = r.said
	}()
	Golden(r, got)
	return r.said
}

func TestGolden(t *testing.T) {
	t.Chdir(t.TempDir())
	if said := golden("TestX/a:b", "text\n"); !strings.Contains(said, "there is no ") || !strings.Contains(said, "-plugintest.update") {
		t.Errorf("without a file: %q", said)
	}
	*update = true
	if said := golden("TestX/a:b", "text\nmore\n"); said != "" {
		t.Errorf("it can't be written: %q", said)
	}
	golden("TestY", pluginapi.Refuse(pluginapi.NotAuthorized, "<secret>"))
	*update = false
	if text, err := os.ReadFile("testdata/TestY.golden"); err != nil || !strings.Contains(string(text), `"Reason": "<secret>"`) {
		t.Errorf("%v, %s", err, text)
	}
	if err := os.WriteFile("testdata/TestX/a_b.golden", []byte("text\r\nmore\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		"text\nmore\n":      "",
		"text\nless\n":      "line 2:\n want: more\n  got: less\n",
		"text\nmore\nand\n": "line 3:\n want: \n  got: and\n",
		"text":              "line 2:\n want: more\n  got: (the end)\n",
	} {
		if said := golden("TestX/a:b", []byte(got)); (want == "") != (said == "") || !strings.Contains(said, want) {
			t.Errorf("for %q: %q, want %q", got, said, want)
		}
	}
}
