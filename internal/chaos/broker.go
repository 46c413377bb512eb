//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTimeout is how long the broker may take until it is ready, whatever the
// last kill has left behind.
const startTimeout = time.Minute

// process is the broker, which is killed and started again.
type process struct {
	program string
	args    []string
	environ []string // nil: that of this program
	addr    string
	metrics string // a URL
	log     *os.File

	cmd    *exec.Cmd
	ended  chan error
	slow   time.Duration // the longest start
	starts int
}

// newProcess prepares a broker with everything that it keeps below dir.
func newProcess(o *options, dir string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	m, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	metrics := "http://" + m.Addr().String()
	if err := errors.Join(l.Close(), m.Close()); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "gatehouse.yaml")
	text := fmt.Sprintf(configuration, o.durability, o.memory, o.retained, metrics)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "broker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &process{
		program: o.broker, addr: addr, metrics: metrics, log: log,
		args: []string{
			"serve", "--config", config, "--listen", "tcp://" + addr, "--plugin-dir", o.plugins,
			"--data-dir", filepath.Join(dir, "data"), "--run-dir", filepath.Join(dir, "run"), "--log-level", "warn",
		},
	}, nil
}

// start starts the broker and waits until it is ready.
func (p *process) start(ctx context.Context) error {
	begun := time.Now()
	p.cmd = exec.Command(p.program, p.args...)
	p.cmd.Env = p.environ
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan bool, 1)
	p.ended = make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready") {
				ready <- true
			}
		}
		p.ended <- p.cmd.Wait()
	}()
	select {
	case <-ready:
		p.starts++
		p.slow = max(p.slow, time.Since(begun))
		return nil
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("the broker did not start: %w; see %s", errors.Join(err, errEnded), p.log.Name())
	case <-time.After(startTimeout):
		return fmt.Errorf("the broker is not ready after %v; see %s", startTimeout, p.log.Name())
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errEnded = errors.New("it ended")

// kill kills the broker with SIGKILL and waits until it is gone. One that is gone
// already is left alone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.ended <- <-p.ended
}

// stop ends the broker as an operator does, and reports an exit that is none.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(startTimeout):
		p.kill()
		return errors.New("the broker does not end")
	}
}

// plugins returns the processes that the broker has started.
func (p *process) plugins() []int { return children(p.cmd.Process.Pid) }

// descriptors is how many files and sockets the broker has open.
func (p *process) descriptors() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(list)
}

// resident is the broker's memory in bytes.
func (p *process) resident() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}

// goroutines is how many the broker has.
func (p *process) goroutines(ctx context.Context) (n int, err error) {
	text, err := p.get(ctx, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, errors.Join(err, errors.New("the broker does not tell how many goroutines it has"))
}

// get asks the broker for one of its pages.
func (p *process) get(ctx context.Context, path string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, text)
	}
	return string(text), err
}

// children returns the processes whose parent a process is.
func children(parent int) (list []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range dirs {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		var state string
		var ppid int
		if _, err := fmt.Sscan(rest, &state, &ppid); err != nil || ppid != parent || state == "Z" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		list = append(list, pid)
	}
	return list
}

// running returns the processes that have a word in their command line or
// environment.
func running(word string) (list []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		for _, name := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err == nil && pid != os.Getpid() && strings.Contains(string(text), word) {
				list = append(list, pid)
				break
			}
		}
	}
	return list
}
