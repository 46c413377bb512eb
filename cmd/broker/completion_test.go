package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

func TestComplete(t *testing.T) {
	parser, err := kong.New(&command{}, kong.Bind(&terminal{}))
	if err != nil {
		t.Fatal(err)
	}
	var asked string
	names := func(kind string, f *adminFlags) []string {
		asked = kind + " " + f.RunDir + f.Admin
		return []string{"authfile", "audit", "script"}
	}
	for line, want := range map[string]string{
		"se":                             "serve session",
		"session l":                      "list",
		"plugin inf":                     "info",
		"plugin info ":                   "audit authfile script",
		"plugin info au":                 "audit authfile",
		"plugin info --run-dir /r au":    "audit authfile",
		"plugin info --json au":          "audit authfile",
		"plugin info authfile ":          "",
		"plugin lock authfile au":        "audit authfile",
		"serve --log-level ":             "debug error info warn",
		"serve --log-level=":             "--log-level=debug --log-level=error --log-level=info --log-level=warn",
		"serve --log-level=de":           "--log-level=debug",
		"serve --log-f":                  "--log-format",
		"serve --config ":                "", // a file: the shell knows
		"ban add ":                       "address client user",
		"ban add user ":                  "",
		"completion ":                    "bash fish zsh",
		"explain --client ":              "audit authfile script",
		"retained migrate script --run-": "--run-dir",
		"comp":                           "completion", // and not what is hidden
		"nonsense ":                      "",
		"plugin call -- --js":            "",
		"client get --admin=unix:///a a": "audit authfile",
	} {
		asked = ""
		got := strings.Join(complete(parser.Model, strings.Split(line, " "), names), " ")
		if line == "retained migrate script --run-" {
			got, asked = strings.Fields(got)[0], ""
		}
		if got != want && !(line == "nonsense " && got != "") {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
		if strings.Contains(line, "/r") && asked != "plugin /r" || strings.Contains(line, "unix") && asked != "client unix:///a" {
			t.Errorf("%q asked for %q", line, asked)
		}
	}
}

// Names come from the broker that runs, and the scripts work in their shells, those
// that are there.
func TestCompletionInShells(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	b := brokertest.At(t, p.addr)
	b.Connect("lamp-1")
	b.Connect("lamp-2")
	b.Connect("odd; touch x")
	completed := func(words ...string) string {
		t.Helper()
		var out, errs strings.Builder
		if code := run(append([]string{"complete", "--"}, words...), strings.NewReader(""), &out, &errs); code != 0 {
			t.Errorf("status %d: %s", code, errs.String())
		}
		return out.String()
	}
	if got := completed("client", "get", "--run-dir", s.path("run"), ""); got != "lamp-1\nlamp-2\n" {
		t.Errorf("clients are %q", got)
	}
	if got := completed("plugin", "info", "--run-dir", s.path("nowhere"), ""); got != "" {
		t.Errorf("without a broker there are %q", got)
	}

	bin := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, bin+"/broker"); err != nil {
		t.Skip("no links here: ", err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for shell, tt := range map[string]struct {
		ask  string
		want []string
	}{
		"bash": {`source <(broker completion bash)
			COMP_LINE="broker client get --run-dir ` + s.path("run") + ` lamp"; COMP_POINT=${#COMP_LINE}; _broker; printf '%s\n' "${COMPREPLY[@]}"
			COMP_LINE="broker serve --log-level=w"; COMP_POINT=${#COMP_LINE}; _broker; printf '%s\n' "${COMPREPLY[@]}"`, []string{"lamp-1", "lamp-2", "warn"}},
		"fish": {`broker completion fish | source
			complete -C "broker client get --run-dir ` + s.path("run") + ` lamp"
			complete -C "broker serve --log-level=w"
			cd ` + s.dir + `; complete -C "broker serve --config gate"`, []string{"lamp-1", "lamp-2", "--log-level=warn", "gatehouse.yaml"}},
	} {
		t.Run(shell, func(t *testing.T) {
			cmd := exec.Command(installed(t, shell), "-c", tt.ask)
			if out, err := cmd.CombinedOutput(); err != nil || !slices.Equal(strings.Fields(string(out)), tt.want) {
				t.Errorf("%v %q", err, out)
			}
		})
	}
	t.Run("zsh", func(t *testing.T) { completesInZsh(t, installed(t, "zsh"), s) })
	t.Run("shellcheck", func(t *testing.T) {
		cmd := exec.Command(installed(t, "shellcheck"), "--shell=bash", "-")
		cmd.Stdin = strings.NewReader(bashCompletion)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	p.stop()
}

// installed is the path of a program that CI installs and others may lack.
func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed here: apt-get install %[1]s", program)
	}
	return path
}
