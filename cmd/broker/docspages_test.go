//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// shellCommands are the commands that a page shows, in their order.
func shellCommands(t *testing.T, page string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(strings.ReplaceAll(b[1], "\\\n", " ")) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				commands = append(commands, line)
			}
		}
	}
	return commands
}

// reader runs what somebody who reads a page types.
type reader struct {
	*proc
	words *strings.Replacer // what the page says, and what it is here
	bin   string            // folder with the broker's program
}

func (p *proc) reader(words ...string) *reader {
	p.t.Helper()
	bin := p.t.TempDir()
	exe, err := os.Executable()
	if err == nil {
		err = os.Symlink(exe, bin+"/broker")
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return &reader{p, strings.NewReplacer(append(words, "RUN/", p.path("run")+"/", "curl ", "curl -sS --fail-with-body ")...), bin}
}

// shell is a command of the page in a shell. It is the leader of a group.
func (r *reader) shell(t *testing.T, command string) (cmd *exec.Cmd, said *words) {
	t.Helper()
	if program, _, _ := strings.Cut(command, " "); program != "broker" {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed here", program)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd, said = exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", r.words.Replace(command)), new(words)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, said, said
	cmd.Env = append(os.Environ(), "PATH="+r.bin+":"+os.Getenv("PATH"), "GATEHOUSE_RUN_DIR="+r.path("run"), "GATEHOUSE_MQTT=tcp://"+r.addr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd, said
}

// does runs a command that has to end well.
func (r *reader) does(t *testing.T, command string) {
	t.Helper()
	cmd, said := r.shell(t, command)
	if err := cmd.Run(); err != nil {
		t.Errorf("%s\n%v\n%s", command, err, said)
	}
}

// begins starts a command, does something once it says so much, and interrupts
// it if it goes on until then.
func (r *reader) begins(t *testing.T, command, until string, then func(), goesOn bool) {
	t.Helper()
	cmd, said := r.shell(t, command)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); !strings.Contains(said.String(), until); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("it does not say %q: %s", until, said)
			break
		}
	}
	if then != nil {
		then()
	}
	if goesOn {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	}
	if err := cmd.Wait(); err != nil && !goesOn {
		t.Errorf("%s\n%v\n%s", command, err, said)
	}
}

// Everything that docs/admin.md shows at a prompt works, in its order.
func TestAdminPage(t *testing.T) {
	s := newSite(t, "")
	ca, err := certificate.NewAuthority("test CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ts := &tlsSite{s, ca}
	ts.keep("ca", ca)
	ts.keep("server", ts.issue(certificate.Request{CommonName: "broker", Hosts: []string{"localhost"}, Server: true}))
	s.write("gatehouse.yaml", `listeners:
  - url: tcp://127.0.0.1:0
  - {url: "wss://localhost:0/mqtt", tls: {certificates: [{certificate: server.crt, key: server.key}]}}
plugin_dir: plugins
data_dir: data
run_dir: run
admin: {url: 'http://127.0.0.1:0'}
`)
	s.write("pw", "secret\n")
	s.write("log", "a line\n")
	s.write("messages.jsonl", `{"topic": "a", "text": "hello", "qos": 1}`+"\n")
	p := s.start()
	wss := regexp.MustCompile(`wss://localhost:\d+/mqtt`).FindString(s.does("listener", "list"))
	r := p.reader("http://127.0.0.1:9441", p.adminURL(), "gatehouse-data/", "data/", "--repeat 10000", "--repeat 100",
		"wss://broker.example:8884/mqtt", wss)
	b := brokertest.At(t, p.addr)
	lamp := b.Connect("lamp", brokertest.Resume, func(c *packet.Connect) { c.Username, c.HasUsername = "alice", true })
	lamp.Subscribe(1, "lamps/#", "ask")
	commands := shellCommands(t, "admin.md")
	special := map[string]func(t *testing.T, command string){
		"broker client watch": func(t *testing.T, c string) { r.begins(t, c, "watching", nil, true) },
		"broker sub -t 'lamps/#' -v": func(t *testing.T, c string) {
			defer p.publishing(t, "lamps/1", "on")()
			r.begins(t, c, "lamps/1 on", nil, true)
		},
		"broker sub -t 'lamps/#' -C": func(t *testing.T, c string) {
			defer p.publishing(t, "lamps/1", "on")()
			r.does(t, c)
		},
		"broker sub -t lamps/1 -F": func(t *testing.T, c string) {
			defer p.publishing(t, "lamps/1", "on")()
			r.begins(t, c, " lamps/1 on", nil, true)
		},
		"broker sub -L": func(t *testing.T, c string) {
			defer p.publishing(t, "lamps/1", "on")()
			r.begins(t, c, "on", nil, true)
		},
		"tail -f log": func(t *testing.T, c string) {
			sub := b.In(t).Connect("reads the log")
			sub.Subscribe(0, "log")
			r.begins(t, c, "", func() { sub.ExpectMessage("log", "a line") }, true)
		},
		"broker pub -t ask": func(t *testing.T, c string) {
			answers := b.In(t).Connect("knows")
			answers.Subscribe(0, "ask")
			r.begins(t, c, "", func() {
				ask := answers.ExpectMessage("ask", "what is it?")
				answers.Publish(mqtt.Message{
					Topic: ask.Message.Properties.ResponseTopic, Payload: []byte("a lamp"), QoS: 1,
					Properties: &mqtt.Properties{CorrelationData: ask.Message.Properties.CorrelationData},
				}, mqtt.Success)
			}, false)
		},
	}
	used := make(map[string]bool)
	for i, command := range commands {
		t.Run(fmt.Sprint(i, " ", strings.Join(strings.Fields(command)[:2], " ")), func(t *testing.T) {
			for prefix, f := range special {
				if strings.HasPrefix(command, prefix) {
					used[prefix] = true
					f(t, command)
					return
				}
			}
			r.does(t, command)
		})
	}
	for prefix := range special {
		if !used[prefix] {
			t.Errorf("the page does not show %s", prefix)
		}
	}
	if len(commands) < 20 {
		t.Errorf("only %d commands were found", len(commands))
	}
}

// What docs/operations.md shows at a prompt works too.
func TestOperationsPage(t *testing.T) {
	s := newMigrationSite(t)
	s.write("gatehouse.yaml", string(s.read("gatehouse.yaml"))+"metrics: {url: 'http://127.0.0.1:0'}\n")
	p := s.start()
	r := p.reader("http://127.0.0.1:9464", p.watched(), "--duration 10s", "--duration 1s")
	brokertest.At(t, p.addr).Connect("sensor").Publish(
		mqtt.Message{Topic: "sensors/kitchen", Payload: []byte("20"), QoS: 1, Retain: true}, mqtt.NoMatchingSubscribers)
	commands := shellCommands(t, "operations.md")
	for i, command := range commands {
		t.Run(fmt.Sprint(i, " ", strings.Join(strings.Fields(command)[:2], " ")), func(t *testing.T) { r.does(t, command) })
	}
	if !slices.ContainsFunc(commands, func(c string) bool { return strings.HasPrefix(c, "broker retained migrate") }) || len(commands) < 10 {
		t.Errorf("found %q", commands)
	}
}

// A command that was told of no folder looks for the user's own broker, and for
// the service's where that is the only one.
func TestFindRunDir(t *testing.T) {
	s := newSite(t, "")
	s.start()
	packaged, nobody := t.TempDir(), s.path("nobody")
	for _, tt := range []struct{ own, packaged, variable, want string }{
		{s.path("run"), packaged, "", s.path("run")},
		{nobody, packaged, "", packaged},
		{nobody, s.path("none"), "", nobody},
		{nobody, packaged, nobody, nobody},
	} {
		t.Setenv(runDirVariable, tt.variable)
		if got := findRunDir(tt.own, tt.packaged); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	t.Setenv(runDirVariable, s.path("run"))
	if c := s.typeAway("status"); c.wait() != 0 || !strings.Contains(c.out.String(), "tcp://") {
		t.Errorf("%s = %s: %d %s", runDirVariable, s.path("run"), c.exit, &c.err)
	}
	if c := s.typeAway("status", "--run-dir", nobody); c.wait() != exitNoBroker {
		t.Errorf("the variable wins over the command line: %s", &c.out)
	}
	err := explain(&noBrokerError{"unix:///run/gatehouse/admin.sock", &os.PathError{Op: "dial", Err: syscall.EACCES}})
	var status *statusError
	if !errors.As(err, &status) || status.status != exitRefused || !strings.Contains(err.Error(), "sudo") {
		t.Errorf("%v", err)
	}
}
