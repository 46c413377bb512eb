package program

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// Patience bounds every wait of a test for another process.
const Patience = 20 * time.Second

// Process is a program that runs until it ends or the test does.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of the process, once done is closed

	mu      sync.Mutex // guards the fields below
	output  bytes.Buffer
	changed chan struct{} // closed and replaced when there is more output
}

// Start starts a program in a folder ("" for this one). Its output is kept,
// and logged if the test fails.
func Start(t testing.TB, dir, path string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, name: path, cmd: exec.Command(path, args...), done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of %s %q:\n%s", path, args, tail(p.Output()))
		}
	})
	return p
}

// tail returns the end of a long text.
func tail(s string) string {
	const most = 16 << 10
	if len(s) > most {
		return "[...]" + s[len(s)-most:]
	}
	return s
}

// Write implements io.Writer for what the program prints.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output.Write(b)
	close(p.changed)
	p.changed = make(chan struct{})
	return len(b), nil
}

// Output is what the program has printed so far, to both streams.
func (p *Process) Output() string {
	out, _ := p.snapshot()
	return out
}

func (p *Process) snapshot() (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String(), p.changed
}

// WaitOutput waits until the program has printed what ok is content with, and
// returns that.
func (p *Process) WaitOutput(what string, ok func(output string) bool) string {
	p.t.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	for {
		out, changed := p.snapshot()
		if ok(out) {
			return out
		}
		select {
		case <-changed:
		case <-p.done:
			if out := p.Output(); ok(out) {
				return out
			}
			p.t.Fatalf("%s ended (%v) before it printed %s", p.name, p.err, what)
		case <-timeout.C:
			p.t.Fatalf("%s did not print %s in time", p.name, what)
		}
	}
}

// Wait waits for the end of the program and returns its output and exit code.
func (p *Process) Wait() (output string, code int) {
	p.t.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		p.t.Fatalf("%s did not end in time", p.name)
	}
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return p.Output(), 0
	case errors.As(p.err, &exit):
		return p.Output(), exit.ExitCode()
	default:
		p.t.Fatalf("%s: %v", p.name, p.err)
		return "", 0
	}
}

// Signal sends a signal to the program.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends the program and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Run runs a program to its end, with in as its standard input, and fails the
// test unless it succeeds.
func Run(t testing.TB, dir string, in io.Reader, path string, args ...string) (stdout []byte) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Stdin = in
	cmd.WaitDelay = time.Second
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stop := time.AfterFunc(3*Patience, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", path, args, err, tail(string(out)), tail(errs.String()))
	}
	return out
}
