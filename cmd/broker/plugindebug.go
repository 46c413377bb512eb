package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type pluginDebugCmd struct {
	adminFlags
	Name   string `arg:"" help:"The plugin's name; it is a folder in the broker's plugin directory, written in Go with pluginapi." predictor:"plugin"`
	Listen string `help:"Where the debugger listens." default:"127.0.0.1:2345"`
}

// Run runs a plugin under a headless delve, in place of the broker's own
// instance, until somebody presses Ctrl-C.
func (cmd *pluginDebugCmd) Run(t *terminal) error {
	ctx, stop := interruptible()
	defer stop()
	p, err := cmd.plugin(ctx)
	if err != nil {
		return err
	}
	program, err := standaloneProgram(p)
	if err != nil {
		return err
	}
	dlv, err := exec.LookPath("dlv")
	if err != nil {
		return errors.New("the debugger dlv is not in PATH: install it with \"go install github.com/go-delve/delve/cmd/dlv@latest\"")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	under := exec.CommandContext(ctx, dlv, "exec", "--headless", "--listen", cmd.Listen, "--accept-multiclient", "--continue",
		program, "--", "-standalone", filepath.Dir(p.GetPath()))
	under.Stdout, under.Stderr = t.err, t.err
	under.Cancel = func() error { return under.Process.Signal(os.Interrupt) }
	under.WaitDelay = 5 * time.Second
	began := time.Now()
	if err := under.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- under.Wait() }()
	if err := cmd.awaitAttached(ctx, ended, began); err != nil {
		cancel() // as Ctrl-C does, so that the plugin takes its attach.json away
		<-ended  //nolint:errcheck // it ends because it is told to
		return err
	}
	fmt.Fprintf(t.out, "plugin %s runs under the debugger: dlv connect %s\nCtrl-C ends it, and the broker's own instance is back\n", cmd.Name, cmd.Listen)
	if err := <-ended; err != nil && ctx.Err() == nil {
		return fmt.Errorf("the debugger ended: %w; the broker's own instance is back", err)
	}
	return nil
}

func (cmd *pluginDebugCmd) plugin(ctx context.Context) (*adminv1.Plugin, error) {
	client, err := cmd.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	res, err := client.GetPlugin(ctx, connect.NewRequest(&adminv1.GetPluginRequest{Name: cmd.Name}))
	if err != nil {
		return nil, explain(err)
	}
	return res.Msg.GetPlugin(), nil
}

// standaloneProgram is what a plugin's folder has for this system.
func standaloneProgram(p *adminv1.Plugin) (string, error) {
	folder := p.GetPath()
	text, err := os.ReadFile(filepath.Join(folder, "plugin.json"))
	if err != nil {
		return "", fmt.Errorf("plugin %s is no folder with a plugin.json, which the debugged instance needs to be found: move its program and "+
			"what \"PROGRAM describe\" prints into one (%w)", p.GetName(), err)
	}
	m, err := pluginapi.ParseManifest(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Join(folder, "plugin.json"), err)
	}
	argv := m.Exec[runtime.GOOS+"/"+runtime.GOARCH]
	if argv == nil {
		argv = m.Exec["*"]
	}
	switch {
	case len(argv) > 1:
		return "", fmt.Errorf("plugin %s is run by %s, which delve can't debug: run it under the debugger of its language, and attach it by attach.json",
			p.GetName(), argv[0])
	case argv == nil:
		argv = []string{"./" + p.GetName()}
	}
	return filepath.Join(folder, filepath.FromSlash(argv[0])), nil
}

// attachPatience bounds the time in which the broker has to find the plugin.
const attachPatience = 30 * time.Second

// awaitAttached waits until the broker uses the debugged instance, or says after
// began why it does not.
func (cmd *pluginDebugCmd) awaitAttached(ctx context.Context, ended <-chan error, began time.Time) error {
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	limit := time.After(attachPatience)
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the debugger ended before the broker attached the plugin: %w", errors.Join(err, ctx.Err()))
		case <-limit:
			return fmt.Errorf("the broker did not attach the plugin within %v; its log says why", attachPatience)
		case <-look.C:
		}
		p, err := cmd.plugin(ctx)
		if err != nil {
			return err
		}
		if p.GetAttached() {
			return nil
		}
		if p.GetSwapFailureUnixNanos() > began.UnixNano() {
			return fmt.Errorf("the broker does not attach the plugin: %s", p.GetSwapFailure())
		}
	}
}
