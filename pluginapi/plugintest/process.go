package plugintest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Stdin gives a plugin's process something to read. Without it, its standard
// input is empty.
func Stdin(s string) Option { return func(o *settings) { o.stdin = s } }

// Env adds variables ("NAME=value") to the environment of a plugin's process,
// which is otherwise as empty as the broker makes it.
func Env(vars ...string) Option { return func(o *settings) { o.env = append(o.env, vars...) } }

// Process is a plugin's program under test.
type Process struct {
	*Plugin

	cmd      *exec.Cmd
	run      string // holds its socket
	lifeline *os.File
	stdout   lines
	stderr   lines
	exited   chan struct{} // closed when the process has ended
	state    error         // of Wait; written before exited is closed
}

// Launch starts the program at path as the broker would: handshake, environment,
// lifeline, Init. At the end of the test it is stopped, and killed if it does not
// stop.
func Launch(t testing.TB, path string, opts ...Option) *Process {
	t.Helper()
	s := apply(t, opts)
	p, err := launch(path, &s, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end(t) })
	p.initFor(t)
	return p
}

// launch starts a process and connects to it. When it fails, nothing is left.
func launch(path string, s *settings, tap func(line []byte, stderr bool)) (*Process, error) {
	run, err := os.MkdirTemp("", "gh") // short: the path of a socket is limited
	if err != nil {
		return nil, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(run))
	}
	p := &Process{cmd: exec.Command(path), run: run, lifeline: writer, exited: make(chan struct{})}
	if tap != nil {
		p.stdout.tap = func(line []byte) { tap(line, false) }
		p.stderr.tap = func(line []byte) { tap(line, true) }
	}
	p.cmd.Env = append([]string{
		pluginapi.Handshake.MagicCookieKey + "=" + pluginapi.Handshake.MagicCookieValue,
		"PLUGIN_UNIX_SOCKET_DIR=" + run,
		fmt.Sprintf("PLUGIN_PROTOCOL_VERSIONS=%d", pluginapi.Handshake.ProtocolVersion),
		"PATH=" + os.Getenv("PATH"),
		"TMPDIR=" + run,
	}, s.env...)
	p.cmd.Stdin = strings.NewReader(s.stdin)
	if runtime.GOOS != "windows" { // which passes no open files on
		p.cmd.ExtraFiles = []*os.File{reader}
		p.cmd.Env = append(p.cmd.Env, pluginapi.EnvLifeline+"=3")
	}
	if err := p.start(reader); err != nil {
		return nil, errors.Join(err, writer.Close(), os.RemoveAll(run))
	}
	address, err := p.handshake()
	if err == nil {
		p.Plugin, err = connect(address, *s)
	}
	if err != nil {
		p.release()
		return nil, fmt.Errorf("%w\nstandard error:\n%s", err, p.stderr.text())
	}
	return p, nil
}

// start starts the process and what reads its output.
func (p *Process) start(reader *os.File) error {
	defer func() { _ = reader.Close() }()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.stdout.read(stdout) })
	readers.Go(func() { p.stderr.read(stderr) })
	go func() {
		defer close(p.exited)
		readers.Wait() // as StdoutPipe asks for
		p.state = p.cmd.Wait()
	}()
	return nil
}

// handshake waits for the handshake line and returns the address in it.
func (p *Process) handshake() (string, error) {
	const timeout = 10 * time.Second
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		line, more := p.stdout.next()
		if f := strings.Split(line, "|"); len(f) >= 5 {
			if f[0] != "1" || f[1] != "1" || f[4] != "grpc" {
				return "", fmt.Errorf("handshake of another protocol: %q", line)
			}
			if f[2] == "unix" {
				return "unix://" + f[3], nil
			}
			return "passthrough:///" + f[3], nil
		}
		if line != "" {
			continue // noise
		}
		select {
		case <-more:
		case <-p.exited:
			return "", fmt.Errorf("plugin ended before its handshake with exit status %d", p.cmd.ProcessState.ExitCode())
		case <-deadline.C:
			return "", fmt.Errorf("no handshake within %v", timeout)
		}
	}
}

// end stops the process at the end of a test.
func (p *Process) end(t testing.TB) {
	defer p.release()
	select {
	case <-p.exited:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	_ = p.Stop(ctx)
	if _, err := p.Wait(stopTime); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("standard error of the plugin:\n%s", p.stderr.text())
	}
}

// release ends the process, if need be by force, and frees what it had.
func (p *Process) release() {
	_ = p.cmd.Process.Kill() // of one that has ended it does nothing
	select {
	case <-p.exited:
	case <-time.After(stopTime): // a child of it holds its output
	}
	if p.Plugin != nil {
		_ = p.conn.Close()
	}
	_ = p.lifeline.Close()
	_ = os.RemoveAll(p.run)
}

// Stop asks the plugin to stop and waits until the process has ended.
func (p *Process) Stop(ctx context.Context) error {
	err := p.Plugin.Stop(ctx)
	select {
	case <-p.exited:
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Abandon does to the process what the death of the broker does: its lifeline
// ends.
func (p *Process) Abandon() error { return p.lifeline.Close() }

// Wait waits until the process ends by itself and returns its exit status, or an
// error if it does not do so in time.
func (p *Process) Wait(within time.Duration) (int, error) {
	select {
	case <-p.exited:
	case <-time.After(within):
		return 0, fmt.Errorf("process %d is still there after %v", p.PID(), within)
	}
	var exit *exec.ExitError
	if p.state != nil && !errors.As(p.state, &exit) {
		return 0, p.state
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// Stdout is what the process has printed after its handshake so far. A plugin
// prints nothing.
func (p *Process) Stdout() string { return p.stdout.rest() }

// Stderr is everything that the process has written to standard error so far.
func (p *Process) Stderr() string { return p.stderr.text() }

// Logged waits until the process logs a message that contains text and returns
// the line's attributes.
func (p *Process) Logged(text string, within time.Duration) (map[string]any, error) {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		all, more := p.stderr.all()
		for _, line := range all {
			var record map[string]any
			if json.Unmarshal([]byte(line), &record) != nil {
				continue
			}
			if msg, _ := record["@message"].(string); strings.Contains(msg, text) {
				return record, nil
			}
		}
		select {
		case <-more:
		case <-deadline.C:
			return nil, fmt.Errorf("nothing logged with %q; standard error:\n%s", text, p.stderr.text())
		}
	}
}

// Dial connects to the process once more, without gRPC.
func (p *Process) Dial() (net.Conn, error) {
	return net.Dial("unix", strings.TrimPrefix(p.conn.Target(), "unix://"))
}

// lines are what a stream has brought so far. Its zero value is ready.
type lines struct {
	tap func(line []byte) // sees each line; nil: nobody does

	mu    sync.Mutex // guards the fields below
	lines []string
	taken int           // by next
	more  chan struct{} // closed by the next line, or by the end
}

// read reads to the end.
func (l *lines) read(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if l.tap != nil && line != "" {
			l.tap([]byte(strings.TrimRight(line, "\r\n")))
		}
		l.mu.Lock()
		if line != "" {
			l.lines = append(l.lines, strings.TrimRight(line, "\r\n"))
		}
		if l.more != nil {
			close(l.more)
			l.more = nil
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// next returns the next line; "" means none yet, and more tells when to look
// again.
func (l *lines) next() (line string, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken < len(l.lines) {
		l.taken++
		return l.lines[l.taken-1], nil
	}
	return "", l.wait()
}

// all returns all lines, and more tells when to look again.
func (l *lines) all() (lines []string, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...), l.wait()
}

// wait returns the channel for the next line. l.mu is held.
func (l *lines) wait() <-chan struct{} {
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.more
}

// rest is what next has not taken.
func (l *lines) rest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[l.taken:], "\n")
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b bytes.Buffer
	for _, line := range l.lines {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}
