package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// patience bounds every wait for another process.
const patience = 30 * time.Second

// site is a folder with a broker's configuration, plugins and data.
type site struct {
	t   testing.TB
	dir string // short: sockets live below it

	prepare func(*exec.Cmd) // nil, or what is done to the command that starts a broker
}

// newSite makes a folder with the given plugins and configuration. The
// configuration gets a free loopback port and folders of its own.
func newSite(t testing.TB, cfg string, plugins ...string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh") // t.TempDir's paths are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &site{t: t, dir: dir}
	s.write("gatehouse.yaml", "listeners: [{url: 'tcp://127.0.0.1:0'}]\nplugin_dir: plugins\ndata_dir: data\nrun_dir: run\n"+cfg)
	if err := os.Mkdir(s.path("plugins"), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range plugins {
		s.install(name)
	}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// install puts this test binary into the plugin folder under a plugin's name.
func (s *site) install(name string) {
	s.t.Helper()
	s.link(filepath.Join("plugins", name))
}

// link makes a program of this test binary; it runs as what it is called.
func (s *site) link(name string) string {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	to := s.path(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Link(self, to); err == nil || errors.Is(err, os.ErrExist) {
		return to
	}
	b, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(to, b, 0o700) //nolint:gosec // a program
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return to
}

// proc is a running broker.
type proc struct {
	*site
	cmd  *exec.Cmd
	addr string // host:port
	done chan struct{}
	err  error // of the process, once done is closed

	mu     sync.Mutex // guards the fields below
	stderr bytes.Buffer
	lines  chan struct{} // closed and replaced when a line was written
}

// launch starts a broker and does not wait for it to be ready.
func (s *site) launch(args ...string) (p *proc, stdout io.Reader) {
	s.t.Helper()
	exe := s.link("bin/broker")
	cmd := exec.Command(exe, append([]string{"serve", "--config", "gatehouse.yaml"}, args...)...)
	cmd.Dir = s.dir
	if s.prepare != nil {
		s.prepare(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	p = &proc{site: s, cmd: cmd, done: make(chan struct{}), lines: make(chan struct{})}
	cmd.Stderr = p
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if s.t.Failed() {
			lines := strings.Split(p.log(), "\n")
			s.t.Logf("the end of the broker's log:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	return p, out
}

// start starts a broker and waits until it is ready.
func (s *site) start(args ...string) *proc {
	s.t.Helper()
	p, out := s.launch(args...)
	ready := make(chan string, 1)
	go func() {
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			if rest, ok := strings.CutPrefix(sc.Text(), "ready "); ok {
				ready <- rest
			}
		}
		close(ready)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	select {
	case urls, ok := <-ready:
		if !ok {
			s.t.Fatalf("the broker ended: %v\n%s", p.err, p.log())
		}
		p.addr = strings.TrimPrefix(strings.Fields(urls)[0], "tcp://")
	case <-time.After(patience):
		s.t.Fatalf("the broker is not ready:\n%s", p.log())
	}
	return p
}

// fails starts a broker that is expected to end by itself, and returns its
// exit status and what it said.
func (s *site) fails(args ...string) (status int, stderr string) {
	s.t.Helper()
	p, out := s.launch(args...)
	go func() {
		_, _ = io.Copy(io.Discard, out)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	p.wait()
	return p.cmd.ProcessState.ExitCode(), p.log()
}

// Write takes the broker's log.
func (p *proc) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.lines)
	p.lines = make(chan struct{})
	return p.stderr.Write(b)
}

func (p *proc) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// waitLog waits until the log holds a text.
func (p *proc) waitLog(text string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		found, more := strings.Contains(p.stderr.String(), text), p.lines
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-p.done:
			p.t.Fatalf("the broker ended without logging %q", text)
		case <-deadline:
			p.t.Fatalf("not in the log: %q", text)
		}
	}
}

func (p *proc) signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) }

func (p *proc) wait() {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatal("the broker does not end")
	}
}

// stop ends the broker as an operator does.
func (p *proc) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.wait()
	if p.err != nil {
		p.t.Errorf("the broker ended with %v", p.err)
	}
}

// kill ends it as a power cut does.
func (p *proc) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.wait()
}

// plugin asks the admin API about a plugin.
func (p *proc) plugin(name string) *adminv1.Plugin {
	p.t.Helper()
	f := adminFlags{RunDir: p.path("run")}
	client, err := f.client()
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := client.GetPlugin(ctx, connect.NewRequest(&adminv1.GetPluginRequest{Name: name}))
	if err != nil {
		p.t.Fatal(err)
	}
	return res.Msg.GetPlugin()
}

// waitPlugin polls until a plugin is as wanted: there is nothing in another
// process to wait on.
func (p *proc) waitPlugin(name, what string, ok func(*adminv1.Plugin) bool) *adminv1.Plugin {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := p.plugin(name)
		if ok(got) {
			return got
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("plugin %s is not %s: %v", name, what, got)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *site) read(name string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}
