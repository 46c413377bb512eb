package pluginhost

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"
)

// process is one run of a plugin's program. To go-plugin it is the
// runner.Runner of the client that reads the handshake, and no more than that:
// go-plugin's parser of log lines can be made to panic, its Kill and its notice
// of an exit wait for whoever holds the program's pipes, it passes the whole
// environment and the terminal on, and what it started lives on without it.
//
// The program leads a process group of its own, which dies with it: a plugin's
// children don't outlive the plugin. On Linux it dies with the broker; on every
// Unix a guard ends the whole group then. It has /dev/null for standard input
// and sees the environment that cmd brings, nothing of the broker's.
type process struct {
	cmd    *exec.Cmd
	out    *output
	shake  *handshake
	guard  *guard
	linger time.Duration // how long output is read after the exit

	exited chan struct{} // closed when the program is gone, and its group
	quiet  chan struct{} // closed when its output was read, after exited

	// mu guards the fields below. It is held over every signal, so that none
	// reaches another process that got the same identifier.
	mu    sync.Mutex
	group procGroup
	pid   int  // 0 before the start
	ended bool // it must not be started, or not be signalled any more
	shot  bool // it was sent SIGKILL while it ran
}

var _ runner.Runner = (*process)(nil)

// newProcess prepares cmd, of which Path, Args, Dir and Env are used.
func newProcess(cmd *exec.Cmd, out *output, g *guard, linger time.Duration) *process {
	return &process{
		cmd: cmd, out: out, shake: newHandshake(out.stdout()), guard: g, linger: linger,
		exited: make(chan struct{}), quiet: make(chan struct{}),
	}
}

// pipes are the ends of a process's pipes: those of the broker, and those
// that the child inherits.
type pipes struct {
	stdout, stderr, lifeline *os.File // ours: read, read, write
	inherited                []*os.File
}

func (p *pipes) close() {
	for _, f := range append([]*os.File{p.stdout, p.stderr, p.lifeline}, p.inherited...) {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (p *pipes) closeInherited() {
	for _, f := range p.inherited {
		_ = f.Close()
	}
	p.inherited = nil
}

// Start starts the program. go-plugin calls it once. It is not bound by ctx,
// because it does not wait for the program to do anything.
func (p *process) Start(context.Context) error {
	var pp pipes
	if err := p.connect(&pp); err != nil {
		pp.close()
		return err
	}
	started := make(chan error)
	go p.live(&pp, started)
	return <-started
}

// connect makes the pipes and hands the child's ends to cmd.
func (p *process) connect(pp *pipes) error {
	var out, errs, life *os.File
	var err error
	if pp.stdout, out, err = os.Pipe(); err != nil {
		return err
	}
	pp.inherited = append(pp.inherited, out)
	if pp.stderr, errs, err = os.Pipe(); err != nil {
		return err
	}
	pp.inherited = append(pp.inherited, errs)
	p.cmd.Stdout, p.cmd.Stderr = out, errs
	p.cmd.Stdin = nil // /dev/null, and never the broker's terminal
	if life, pp.lifeline, err = os.Pipe(); err != nil {
		return err
	}
	pp.inherited = append(pp.inherited, life)
	detach(p.cmd, life)
	return nil
}

// live starts the program and stays until it is gone. It keeps its thread,
// since the kernel's death signal is bound to the thread that made the child.
func (p *process) live(pp *pipes, started chan<- error) {
	runtime.LockOSThread()
	err := p.start()
	pp.closeInherited()
	if err != nil {
		runtime.UnlockOSThread()
		pp.close()
		started <- err
		return
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.shake.scan(pp.stdout) })
	readers.Go(func() {
		lines := p.out.stderr()
		_, _ = io.Copy(lines, pp.stderr)
		lines.flush()
	})
	started <- nil

	awaitExit(p.cmd.Process)
	p.seal()
	_ = p.cmd.Wait() // reaps it; what it says is in ProcessState
	runtime.UnlockOSThread()
	p.guard.release(p.pid)
	_ = pp.lifeline.Close()
	close(p.exited)

	// Somebody who left the group may hold the pipes open for ever.
	timer := time.AfterFunc(p.linger, func() {
		_ = pp.stdout.Close()
		_ = pp.stderr.Close()
		p.shake.end()
	})
	readers.Wait()
	timer.Stop()
	pp.close()
	p.out.close()
	close(p.quiet)
}

// start runs cmd, again for a short while if its file is still being written:
// another thread's fork may hold it open (golang/go#22315).
func (p *process) start() error {
	var err error
	for pause := time.Millisecond; pause < 200*time.Millisecond; pause *= 2 {
		if err = p.startOnce(); !isBusy(err) {
			return err
		}
		time.Sleep(pause)
	}
	return err
}

func (p *process) startOnce() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return context.Canceled
	}
	cmd := *p.cmd // a Cmd can't be started twice
	if err := cmd.Start(); err != nil {
		return err
	}
	g, err := newProcGroup(cmd.Process)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	*p.cmd = cmd
	p.group, p.pid = g, cmd.Process.Pid
	p.guard.protect(p.pid)
	return nil
}

// seal ends what is left of the group, and forbids to signal it again.
func (p *process) seal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group.kill()
	p.group.close()
	p.ended = true
}

// signal applies f to the group if it exists.
func (p *process) signal(f func(procGroup)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 && !p.ended {
		f(p.group)
	}
}

// terminate asks the whole group to end.
func (p *process) terminate() { p.signal(procGroup.terminate) }

// dump asks the program for its stacks, if its runtime does that.
func (p *process) dump() { p.signal(procGroup.dump) }

// Kill ends the whole group at once, or forbids the start. It does not wait:
// exited tells.
func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.pid == 0:
		p.ended = true
	case !p.ended:
		p.shot = true
		p.group.kill()
	}
	return nil
}

// wasShot reports whether Kill ended the program, and nothing else before.
func (p *process) wasShot() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shot && exitSignal(p.cmd.ProcessState) == syscall.SIGKILL
}

// Wait waits until the program is gone.
func (p *process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stdout is what go-plugin reads the handshake from.
func (p *process) Stdout() io.ReadCloser { return p.shake.pipe }

// Stderr is empty: go-plugin's own parser of log lines must not see any.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name names the program.
func (p *process) Name() string { return p.cmd.Path }

// ID is the process identifier, "" if it never started.
func (p *process) ID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 {
		return ""
	}
	return strconv.Itoa(p.pid)
}

// Diagnose adds nothing: the host words its own errors.
func (p *process) Diagnose(context.Context) string { return "" }

// PluginToHost translates nothing: both see the same file system.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin translates nothing.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// await waits until done is closed, but not longer than d or ctx.
func await(ctx context.Context, done <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return errTookTooLong
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errTookTooLong = errors.New("it took too long")
