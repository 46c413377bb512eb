package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Broker is a broker that can be started.
type Broker struct {
	Name string
	// Command returns the program and its arguments, with dir, which is empty
	// and its own, for files.
	Command func(dir string, addr netip.AddrPort) ([]string, error)
}

// Process is a broker that runs.
type Process struct {
	Addr   netip.AddrPort
	PID    int
	cmd    *exec.Cmd
	output *os.File
	dir    string
	exited chan struct{}
}

// Start runs a broker and returns when it accepts connections. core is the
// processor that it is bound to; negative for none. Stop must follow.
func (b Broker) Start(ctx context.Context, core int) (p *Process, err error) {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", b.Name, err), os.RemoveAll(dir))
		}
	}()
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	args, err := b.Command(dir, addr)
	if err != nil {
		return nil, err
	}
	if core >= 0 {
		args = append([]string{"taskset", "-c", strconv.Itoa(core)}, args...)
	}
	p = &Process{Addr: addr, dir: dir, exited: make(chan struct{})}
	if p.output, err = os.Create(filepath.Join(dir, "output")); err != nil {
		return nil, err
	}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, p.output.Close())
	}
	p.PID = p.cmd.Process.Pid // taskset becomes the broker
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait()
	}()
	if err := p.await(ctx); err != nil {
		said, _ := os.ReadFile(p.output.Name())
		return nil, fmt.Errorf("%w\n%s", errors.Join(err, p.Stop()), said)
	}
	return p, nil
}

// await returns when the broker accepts connections.
func (p *Process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := net.DialTimeout("tcp", p.Addr.String(), time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.exited:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return errors.New("it accepts no connections")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// LastWords is the end of what the broker printed.
func (p *Process) LastWords() string {
	const most = 2000
	said, _ := os.ReadFile(p.output.Name())
	return string(said[max(0, len(said)-most):])
}

// Stop ends the broker with all that it started, and removes its files.
func (p *Process) Stop() error {
	_ = syscall.Kill(-p.PID, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(-p.PID, syscall.SIGKILL)
	<-p.exited
	return errors.Join(p.output.Close(), os.RemoveAll(p.dir))
}

func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return netip.AddrPort{}, err
	}
	return netip.ParseAddrPort(addr)
}
