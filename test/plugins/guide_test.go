package plugins

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// The guide of docs/plugins.md, and the README's first plugin, typed as they
// are, in as many terminals.
func TestGuides(t *testing.T) {
	t.Parallel()
	python(t)
	nodeExample(t)
	for page, section := range map[string]string{
		"docs/plugins.md": "Your first plugin in five minutes",
		"README.md":       "Your first plugin in five minutes",
	} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(program.Root(), page))
			if err != nil {
				t.Fatal(err)
			}
			_, rest, found := strings.Cut(string(text), "\n## "+section+"\n")
			body, _, _ := strings.Cut(rest, "\n## ")
			if !found {
				t.Fatalf("%s has no section %q", page, section)
			}
			newReader(t).follow(body)
		})
	}
}

// reader is somebody who does what a guide says.
type reader struct {
	*testing.T
	dir       string // where the checkout's bin is
	env       []string
	terminals map[string]*terminal
}

// terminal is one in which a command runs on.
type terminal struct {
	*program.Process
	read int // how much of its output was compared
}

// newReader gives somebody a folder with bin/broker, mosquitto's programs, and a
// home, none of which gets in the way of others on this machine.
func newReader(t *testing.T) *reader {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &reader{T: t, dir: dir, terminals: make(map[string]*terminal)}
	_, port, err := net.SplitHostPort(program.FreeAddr(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	r.script("bin/broker", fmt.Sprintf(`real=%q
case "$1 $2" in
"serve "*) exec "$real" "$@" --listen tcp://127.0.0.1:%s --run-dir %s/run --data-dir %[3]s/data ;;
"plugin new" | "plugin check") exec "$real" "$@" ;;
*) exec "$real" "$@" --run-dir %[3]s/run ;;
esac`, absolute(t, program.Ours(t, "./cmd/broker")), port, dir))
	for _, name := range []string{"mosquitto_pub", "mosquitto_sub"} {
		r.script("path/"+name, fmt.Sprintf(`exec %s -p %s "$@"`, program.Need(t, name, "mosquitto-clients"), port))
	}
	caches, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache := strings.Fields(string(caches))
	goPath := filepath.Dir(absolute(t, program.Need(t, "go", "golang")))
	r.env = append(os.Environ(), "HOME="+filepath.Join(dir, "home"), "GOCACHE="+cache[0], "GOMODCACHE="+cache[1],
		"PATH="+strings.Join([]string{filepath.Join(dir, "path"), path, goPath, os.Getenv("PATH")}, ":"))
	if err := os.Mkdir(filepath.Join(dir, "home"), 0o700); err != nil {
		t.Fatal(err)
	}
	return r
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func (r *reader) script(name, text string) {
	r.Helper()
	file := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // a program
		r.Fatal(err)
	}
}

var block = regexp.MustCompile("(?ms)^<!-- (terminal|run|prints|edit)(?:: ([^ ]+))? -->\n```[a-z]*\n(.*?)^```$")

// follow does all that is marked in a text, in its order. What looks like a step
// and is not marked is an error: it would be one that nobody has tried.
func (r *reader) follow(text string) {
	r.Helper()
	steps := block.FindAllStringSubmatch(text, -1)
	if shell := strings.Count(text, "```sh\n") + strings.Count(text, "```diff\n"); len(steps) < shell || shell == 0 {
		r.Fatalf("%d steps are marked, of %d", len(steps), shell)
	}
	defer r.leave()
	for _, s := range steps {
		switch what, about, body := s[1], s[2], s[3]; what {
		case "terminal":
			r.begin(about, body)
		case "run":
			for line := range strings.Lines(body) {
				r.line(strings.TrimSuffix(line, "\n"))
			}
		case "prints":
			r.prints(about, body)
		case "edit":
			r.edit(about, body)
		}
	}
}

// begin runs a block whose last command runs on.
func (r *reader) begin(name, body string) {
	r.Helper()
	lines := strings.Split(strings.TrimSpace(body), "\n")
	lines[len(lines)-1] = "exec " + lines[len(lines)-1]
	r.terminals[name] = &terminal{Process: program.Start(r, r.dir, "/usr/bin/env", append(r.vars(), "bash", "-ec", strings.Join(lines, "\n"))...)}
	if strings.Contains(body, "broker serve") {
		r.terminals[name].WaitOutput("that it is ready", func(out string) bool { return strings.Contains(out, "ready tcp://") })
	}
}

// vars are the variables for env.
func (r *reader) vars() []string { return append([]string(nil), r.env[len(r.env)-4:]...) }

// line runs one command to its end. What is behind "# ->" has to be among what it
// prints; without that it has to succeed.
func (r *reader) line(line string) {
	r.Helper()
	command, want, says := strings.Cut(line, "# -> ")
	ctx, cancel := context.WithTimeout(context.Background(), 6*program.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", command)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	if says && !strings.Contains(strings.ToLower(string(out)), strings.ToLower(want)) || !says && err != nil {
		r.Fatalf("%s: %v\n%s", line, err, out)
	}
}

var varying = regexp.MustCompile(`…|pid \d+|\(\d[\d.]*m?s\)`)

// prints waits until a terminal has printed lines; process numbers, times and
// what "…" stands for differ.
func (r *reader) prints(name, body string) {
	r.Helper()
	t := r.terminals[name]
	for line := range strings.Lines(body) {
		var pattern strings.Builder
		last := 0
		line = strings.TrimSuffix(line, "\n")
		for _, at := range varying.FindAllStringIndex(line, -1) {
			pattern.WriteString(regexp.QuoteMeta(line[last:at[0]]))
			pattern.WriteString(map[string]string{"p": `pid \d+`, "(": `\([\dms.]+\)`}[line[at[0]:at[0]+1]])
			if strings.HasPrefix(line[at[0]:], "…") {
				pattern.WriteString(`.*`)
			}
			last = at[1]
		}
		pattern.WriteString(regexp.QuoteMeta(line[last:]))
		want := regexp.MustCompile("(?m)^" + pattern.String() + "$")
		for end := time.Now().Add(6 * program.Patience); ; time.Sleep(20 * time.Millisecond) {
			if at := want.FindStringIndex(t.Output()[t.read:]); at != nil {
				t.read += at[1]
				break
			}
			if time.Now().After(end) {
				r.Fatalf("%s did not print %q", name, line)
			}
		}
	}
}

// edit replaces lines of a file.
func (r *reader) edit(file, diff string) {
	r.Helper()
	file = strings.Replace(file, "~", filepath.Join(r.dir, "home"), 1)
	var from, to strings.Builder
	for line := range strings.Lines(diff) {
		switch line[0] {
		case '-':
			from.WriteString(line[1:])
		case '+':
			to.WriteString(line[1:])
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Count(string(text), from.String()) != 1 {
		r.Fatalf("%s does not have this once (%v):\n%s", file, err, from.String())
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), from.String(), to.String(), 1)), 0o600); err != nil {
		r.Fatal(err)
	}
}

// leave presses Ctrl-C everywhere; all end well.
func (r *reader) leave() {
	r.Helper()
	for name, t := range r.terminals {
		t.Signal(os.Interrupt)
		if _, code := t.Wait(); code != 0 {
			r.Errorf("Ctrl-C ended %s with %d", name, code)
		}
	}
}
