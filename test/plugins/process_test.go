package plugins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// wrap makes a program without arguments of an interpreter and a script.
func wrap(t *testing.T, argv ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec "+strings.Join(argv, " ")+"\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return path
}

// How a plugin of each language ends: when it is asked, when it is told, when
// the broker is gone. It prints nothing but its handshake.
func TestProcesses(t *testing.T) {
	t.Parallel()
	for language, argv := range map[string][]string{
		"python": {python(t), "-B", filepath.Join(example(t, "python-validator"), "main.py")},
		"node":   {program.Need(t, "node", "nodejs"), filepath.Join(nodeExample(t), "main.js")},
	} {
		run := wrap(t, argv...)
		for name, end := range map[string]func(*plugintest.Process) error{
			"stop": func(p *plugintest.Process) error {
				ctx, cancel := context.WithTimeout(context.Background(), program.Patience)
				defer cancel()
				return p.Stop(ctx)
			},
			"terminate":  func(p *plugintest.Process) error { return p.Signal(syscall.SIGTERM) },
			"brokergone": func(p *plugintest.Process) error { return p.Abandon() },
			"interrupt is not for it": func(p *plugintest.Process) error {
				if err := p.Signal(syscall.SIGINT); err != nil {
					return err
				}
				if err := p.Health(context.Background()); err != nil {
					return fmt.Errorf("after SIGINT: %w", err)
				}
				return p.Signal(syscall.SIGTERM)
			},
		} {
			t.Run(language+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := plugintest.Launch(t, run)
				if err := end(p); err != nil {
					t.Fatal(err)
				}
				if code, err := p.Wait(program.Patience); code != 0 || err != nil {
					t.Errorf("exit status %d, %v", code, err)
				}
				if out := p.Stdout(); out != "" {
					t.Errorf("it printed %q", out)
				}
			})
		}
	}
}

// A plugin in Node decides the same by frames of the stream as call by call.
func TestNodeFrames(t *testing.T) {
	t.Parallel()
	p := plugintest.Launch(t, wrap(t, program.Need(t, "node", "nodejs"), filepath.Join(nodeExample(t), "main.js")))
	client := plugintest.Client("lamp")
	calls := func() (all []*pluginapi.Call) {
		for i := range 100 {
			topic, payload := "a", "{"
			if i%3 == 0 {
				topic = "json/x"
			}
			if i%2 == 0 {
				payload = "{}"
			}
			all = append(all, &pluginapi.Call{Publish: &pluginapi.PublishCall{Client: client, Message: plugintest.Message(topic, payload)}})
		}
		return all
	}
	batch, first, second := calls(), calls(), calls()
	if err := p.InterceptBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := p.InterceptFrames(t.Context(), first, second); err != nil {
		t.Fatal(err)
	}
	for i := range batch {
		want := pluginapi.ActionPass
		if i%3 == 0 && i%2 != 0 {
			want = pluginapi.ActionRefuse
		}
		for how, c := range map[string]*pluginapi.Call{"unary": batch[i], "stream": first[i], "second frame": second[i]} {
			if c.Verdict.Action != want {
				t.Fatalf("%s, call %d: %v", how, i, c.Verdict)
			}
			if want == pluginapi.ActionPass && fmt.Sprint(c.Publish.Message.UserProperties) != "[{published-by lamp}]" {
				t.Fatalf("%s, call %d: %v", how, i, c.Publish.Message.UserProperties)
			}
		}
	}
}
