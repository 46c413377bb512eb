package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// brokenPlugins are programs that are no good plugins, by what is wrong with
// them.
var brokenPlugins = map[string]func(){
	"mangled": func() { os.Exit(2) }, // does not even describe itself
	"exits":   func() { describeOr("exits", func() { fmt.Fprintln(os.Stderr, "no licence found"); os.Exit(3) }) },
	"babbles": func() { describeOr("babbles", func() { fmt.Println("hello, I am a web server"); select {} }) },
	"old":     func() { describeOr("old", func() { fmt.Println("1|99|unix|/nowhere|grpc"); select {} }) },
	"mute":    func() { describeOr("mute", func() { select {} }) },
	"hangs": func() {
		serve(pluginapi.Plugin{Name: "hangs", Hooks: (*always)(nil), New: func(ctx context.Context, _ *pluginapi.Setup) (any, error) {
			<-ctx.Done()
			select {}
		}})
	},
	"choosy": func() {
		type config struct {
			Colour string `json:"colour"`
		}
		serve(pluginapi.Plugin{Name: "choosy", Hooks: (*always)(nil), Config: &config{}, New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
			var c config
			return &always{}, s.Config(&c)
		}})
	},
	// forker leaves a child behind that holds its standard error.
	"forker": func() {
		serve(pluginapi.Plugin{Name: "forker", Hooks: (*watches)(nil), New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
			child := exec.Command("/bin/sleep", "1000")
			child.Stderr = os.Stderr
			if err := child.Start(); err != nil {
				return nil, err
			}
			return &watches{}, os.WriteFile(filepath.Join(s.DataDir, "child"), []byte(strconv.Itoa(child.Process.Pid)), 0o600)
		}})
	},
}

func serve(p pluginapi.Plugin) { os.Exit(pluginapi.ServeArgs(p, os.Args[1:])) }

// describeOr answers describe as a plugin would, and else does something else.
func describeOr(name string, f func()) {
	if len(os.Args) > 1 && os.Args[1] == "describe" {
		serve(pluginapi.Plugin{Name: name, Hooks: &always{}})
	}
	f()
}

// always admits everyone.
type always struct{}

func (*always) ValidateConnection(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
	return pluginapi.Allowed(), nil
}

// watches observes and does nothing.
type watches struct{}

func (*watches) Observe(context.Context, []pluginapi.Event, uint64) error { return nil }

// A plugin that cannot work gives one clear error: its name, what went wrong,
// what to do. If it is required the broker does not start; otherwise it runs
// and the plugin's hooks follow their policy.
func TestBrokenPlugins(t *testing.T) {
	for name, want := range map[string]string{
		"mangled": `"describe" failed: exit status 2`,
		"exits":   `exited with status 3 before its handshake; its last output was "no licence found"`,
		"babbles": `did not print its handshake within 1s, and printed "hello, I am a web server" instead`,
		"old":     "speaks plugin protocol version 99, and this broker speaks 1",
		"mute":    "did not print its handshake within 1s",
		"hangs":   "did not finish Init within 1s",
		"choosy":  `unknown key "colr": did you mean "colour"?`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := "plugins:\n  " + name + ":\n    start_timeout: 1s\n    config: {}\n"
			if name == "choosy" {
				cfg = strings.Replace(cfg, "{}", "{colr: red}", 1)
			}
			s := newSite(t, cfg, name)
			status, stderr := s.fails()
			if status != 1 || !strings.Contains(stderr, "plugin "+name) || !strings.Contains(stderr, want) {
				t.Errorf("status %d, want %q in:\n%s", status, want, stderr)
			}
			t.Logf("%s", lastLine(stderr))

			s.write("gatehouse.yaml", string(s.read("gatehouse.yaml"))+"    required: false\n")
			p := s.start()
			if got := p.plugin(name); got.GetState() == adminv1.PluginState_PLUGIN_STATE_READY || got.GetLastFailure() == "" {
				t.Errorf("got %v", got)
			}
			// A validator that does not run lets nobody in.
			if _, err := p.dial3("c", "", ""); err == nil || !strings.Contains(err.Error(), "server Unavailable") {
				t.Errorf("connect: %v", err)
			}
			p.stop()
		})
	}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndex(s, "\n")+1:]
}
