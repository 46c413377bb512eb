package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/internal/scaffold"
)

type pluginNewCmd struct {
	Name     string `arg:"" help:"The plugin's name: lower-case letters, digits and dashes."`
	Dir      string `arg:"" optional:"" help:"Folder to make (default: NAME)."`
	Kind     string `help:"What it is: ${enum}." enum:"validator,interceptor,observer,store" default:"validator"`
	Lang     string `help:"What it is written in: ${enum}." enum:"go,python,node" default:"go"`
	Checkout string `help:"Checkout of the broker whose SDK a plugin in Go uses (default: found by itself)." placeholder:"DIR"`
}

// Run makes the folder and says what to do next.
func (cmd *pluginNewCmd) Run(t *terminal) error {
	p := &scaffold.Project{
		Name: cmd.Name, Kind: cmd.Kind, Language: cmd.Lang, Dir: cmp.Or(cmd.Dir, cmd.Name), Broker: thisProgram(),
	}
	if err := p.Check(); err != nil {
		return err
	}
	if err := cmd.sdk(p); err != nil {
		return err
	}
	files, err := p.Create()
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "made %s (%s, %s):\n  %s\n", p.Dir, cmd.Kind, cmd.Lang, strings.Join(files, "  "))
	if cmd.Lang == "go" {
		tidy(t, p.Dir)
	}
	first := "make test"
	if cmd.Lang == "node" {
		first = "npm ci && make test"
	}
	_, err = fmt.Fprintf(t.out, "next:\n  cd %s && %s\n  %s plugin dev %s    # beside a running broker: installs it on every save\n",
		p.Dir, first, p.Broker, p.Dir)
	return err
}

// sdk says which SDK a plugin in Go uses.
func (cmd *pluginNewCmd) sdk(p *scaffold.Project) error {
	switch v := brokerVersion(); {
	case cmd.Lang != "go":
		return nil
	case cmd.Checkout != "":
		dir, err := filepath.Abs(cmd.Checkout)
		if err != nil {
			return err
		}
		p.Checkout = dir
		return scaffold.CheckCheckout(dir)
	case scaffold.Released(v):
		p.Release = v
		return nil
	default:
		var err error
		p.Checkout, err = scaffold.FindCheckout()
		return err
	}
}

// tidy completes go.mod. The folder is there without it too.
func tidy(t *terminal, dir string) {
	cmd := exec.CommandContext(context.Background(), "go", "mod", "tidy")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(t.err, "go.mod is not complete (%v); run \"go mod tidy\" in %s when this is mended:\n%s", err, dir, out)
	}
}

// thisProgram is how a Makefile elsewhere calls this broker: by its name if that
// finds it, else by its path.
func thisProgram() string {
	exe, err := os.Executable()
	if err != nil {
		return "broker"
	}
	found, err := exec.LookPath("broker")
	if err == nil && same(found, exe) {
		return "broker"
	}
	return exe
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
