package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// baddayPlugin has the vices of docs/debugging.md, by the topic of a message.
func baddayPlugin() pluginapi.Plugin {
	var config struct {
		Greeting string `json:"greeting"`
	}
	return pluginapi.Plugin{
		Name: "badday", Version: "0.1.0", Hooks: (*badday)(nil), Config: &config,
		New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
			err := s.Config(&config)
			return &badday{config.Greeting}, err
		},
	}
}

type badday struct{ greeting string }

func (*badday) Interest() []pluginapi.Interest {
	return []pluginapi.Interest{{Hook: pluginapi.HookPublish, Filters: []string{"day/#"}}}
}

func (p *badday) InterceptPublish(_ context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	switch c.Message.Topic {
	case "day/panic":
		var users map[string]int
		users["alice"]++ //nolint:govet,staticcheck // the vice
	case "day/deadlock":
		time.Sleep(time.Second) // as good as for ever
	case "day/code":
		return pluginapi.Refuse(pluginapi.BadUserNameOrPassword, "who are you?"), nil
	case "day/greet":
		if p.greeting != "" {
			return pluginapi.Refuse(pluginapi.QuotaExceeded, p.greeting), nil
		}
	case "day/slow":
		time.Sleep(30 * time.Millisecond)
	case "day/undeclared":
		c.Message.Payload = []byte("changed")
	}
	return pluginapi.Pass(), nil
}

var passing = regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{3}|pid \d+|[\d.]+(µs|ms|s)\b|/tmp/\S+/|time=\S+`)

// at leaves out of an output what is another each time.
func at(s string) string { return spaces.ReplaceAllString(passing.ReplaceAllString(s, "*"), " ") }

var spaces = regexp.MustCompile(` {2,}`)

var console = regexp.MustCompile("(?s)```console\n\\$ (.*?)\n(.*?)```")

// A broken plugin author's day, as docs/debugging.md tells it: each block there is
// what the command prints, times and such apart.
func TestDebuggingPage(t *testing.T) {
	s := newSite(t, "plugins:\n  badday: {probation: 0s, interceptor: {timeout: 300ms, on_error: refuse}}\n", "badday")
	p := s.start()
	said := make(map[string]string)
	watch := func(topic string, args ...string) {
		t.Helper()
		args = append([]string{"plugin", "trace"}, args...)
		c := s.typeIn("", append(args, "--count", "1")...)
		c.waitErr("watching")
		p.connect5("me").publish(topic, 1, false, "hello")
		if c.wait() != 0 {
			t.Fatal(c.err.String())
		}
		said["broker "+strings.Join(args, " ")] = c.out.String()
	}
	watch("day/panic", "badday", "--topic", "day/panic")
	watch("day/deadlock", "badday", "--topic", "day/deadlock")
	watch("day/code", "badday", "--topic", "day/code")
	watch("day/undeclared", "badday", "--topic", "day/undeclared")
	watch("day/slow", "--slow", "10ms")
	s.link("next/badday")
	s.write("next.yaml", "greeting: good day\n")
	shadow := s.typeIn("", "plugin", "shadow", "badday", s.path("next/badday"), "--config", s.path("next.yaml"), "--count", "1")
	shadow.waitErr("is asked the same")
	p.connect5("me").publish("day/greet", 1, false, "hello")
	if shadow.wait() != 1 {
		t.Fatal(shadow.err.String())
	}
	said["broker plugin shadow badday /tmp/next/badday --config next.yaml --count 1"] = shadow.out.String()
	said["broker plugin info badday"] = s.does("plugin", "info", "badday")
	said["broker explain --client me --topic day/code --qos 1 --ask"] = s.does("explain", "--client", "me", "--topic", "day/code", "--qos", "1", "--ask")
	said["broker plugin dev my-auth --once"] = s.brokenBuild()
	p.stop()
	typo := newSite(t, "plugins:\n  badday: {required: true, config: {greting: hello}}\n", "badday")
	_, said["broker serve --config gatehouse.yaml"] = typo.fails()

	page, err := os.ReadFile("../../docs/debugging.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := console.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 7 {
		t.Errorf("the page has %d blocks", len(blocks))
	}
	for _, block := range blocks {
		out, ran := said[block[1]]
		if !ran {
			t.Errorf("nobody has run %q", block[1])
		}
		for line := range strings.Lines(block[2]) {
			if line = strings.TrimSpace(at(line)); line != "" && line != "..." && !strings.Contains(at(out), line) {
				t.Errorf("%s\nprints\n%s\nand not\n%s", block[1], at(out), line)
			}
		}
	}
	if t.Failed() || testing.Verbose() {
		for k, v := range said {
			t.Logf("$ %s\n%s", k, v)
		}
	}
}

// brokenBuild makes a plugin that does not compile, and returns what its author is
// told.
func (s *site) brokenBuild() string {
	s.t.Helper()
	var out words
	if run([]string{"plugin", "new", "my-auth", s.path("my-auth"), "--checkout", "../.."}, strings.NewReader(""), &out, &out) != 0 {
		s.t.Fatal(&out)
	}
	s.write("my-auth/plugin.go", strings.Replace(string(s.read("my-auth/plugin.go")), "pluginapi.BadUserNameOrPassword", "pluginapi.NoSuchCode", 1))
	dev := s.typeIn("", "plugin", "dev", s.path("my-auth"), "--once")
	if dev.wait() != 1 {
		s.t.Errorf("exit status %d", dev.exit)
	}
	return dev.err.String() + dev.out.String()
}
