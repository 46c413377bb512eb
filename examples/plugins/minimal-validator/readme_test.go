package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// code returns the block of Go code behind a mark of the README.
func code(t *testing.T, mark string) string {
	t.Helper()
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "<!-- "+mark+" -->\n```go\n")
	block, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatalf("the README has no block of code marked %q", mark)
	}
	return block
}

func source(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadmeShowsThisProgram(t *testing.T) {
	if code(t, "main.go") != source(t) {
		t.Error("the program in the README is not main.go")
	}
	if n := strings.Count(source(t), "\n"); n > 15 {
		t.Errorf("main.go has %d lines; a minimal validator has at most 15", n)
	}
}

// build makes the program in a new plugin directory with a short path.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "my-plugins", "minimal-validator")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// serve starts a broker with the plugins below dir, as "broker serve
// --plugin-dir" does.
func serve(t *testing.T, dir string) *brokertest.Broker {
	t.Helper()
	host, err := pluginhost.New(pluginhost.Options{
		PluginDir: filepath.Join(dir, "my-plugins"), RunDir: filepath.Join(dir, "run"), DataDir: filepath.Join(dir, "data"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	bound, err := host.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	hooks := hook.NewHooks(nil)
	hooks.SetValidators(bound.Validators)
	return brokertest.Start(t, broker.Options{Hooks: hooks})
}

// What the README says that the program does.
func TestMinimalValidator(t *testing.T) {
	dir := build(t)
	out, err := exec.Command(filepath.Join(dir, "my-plugins", "minimal-validator"), "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := pluginapi.ParseManifest(out); err != nil || m.Name != "minimal-validator" || len(m.Services) != 1 {
		t.Errorf("it describes itself as %s (%v)", out, err)
	}

	b := serve(t, dir)
	with := func(password string) func(*packet.Connect) {
		return func(p *packet.Connect) {
			p.Username, p.HasUsername, p.Password, p.HasPassword = "any", true, []byte(password), true
		}
	}
	_, ack := b.TryConnect("lamp", with("guess"))
	if ack.Code != mqtt.BadUserNameOrPassword || ack.Reason != "say the word" {
		t.Errorf("wrong password: %v %q", ack.Code, ack.Reason)
	}
	sesame := with("sesame")
	lamp := b.Connect("lamp", sesame)
	lamp.Subscribe(mqtt.AtMostOnce, "home/lamp/#")
	b.Connect("switch", sesame).Publish(mqtt.Message{Topic: "home/lamp/on", QoS: mqtt.AtLeastOnce, Payload: []byte("1")}, mqtt.NotAuthorized)
	nosy := b.Connect("nosy", sesame)
	nosy.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "home/#"}}})
	nosy.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized}})
	lamp.Publish(mqtt.Message{Topic: "home/lamp/on", Payload: []byte("1")}, mqtt.Success)
	lamp.ExpectMessage("home/lamp/on", "1")
}
