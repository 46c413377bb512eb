package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// launcher starts plugins. Its methods may be called from many goroutines.
type launcher struct {
	dirs     *runDir
	guard    *guard
	pins     *pins
	dataDir  string
	version  string
	logLevel string
	now      func() time.Time
	timing   timing
	api      *atomic.Pointer[ServerAPI]
	watch    *hook.Watch

	shadowing *shadowing
}

// launch starts or attaches a plugin and makes it ready. When it fails,
// nothing of the plugin is left.
func (l *launcher) launch(ctx context.Context, s *start) (worker, *Failure) {
	if s.attach != "" {
		return l.attach(ctx, s)
	}
	return l.spawn(ctx, s)
}

// spawn runs the plugin's program.
func (l *launcher) spawn(ctx context.Context, s *start) (worker, *Failure) {
	w, f := l.ready(s)
	if f != nil {
		return nil, f
	}
	limit := s.startTimeout()
	bound, cancel := context.WithTimeoutCause(ctx, limit, errTookTooLong)
	defer cancel()
	// Whatever waits for the plugin below stops waiting when the process ends.
	defer context.AfterFunc(bound, func() { w.giveUp(bound) })()
	if f := w.greet(bound, limit); f != nil {
		return nil, w.bury(f)
	}
	if f := w.introduce(bound, limit); f != nil {
		return nil, w.bury(f)
	}
	go w.attend()
	return w, nil
}

// ready makes what a plugin's process needs, and starts nothing.
func (l *launcher) ready(s *start) (*spawned, *Failure) {
	id := l.dirs.number()
	dir, err := l.claim(id, s)
	if err != nil {
		return nil, s.fail(l.now(), KindRefused, fmt.Sprintf("there is no place for its socket: %v", err), "")
	}
	w := &spawned{launcher: l, start: s, id: id, dir: dir, followed: make(chan struct{})}
	w.proc = newProcess(&exec.Cmd{
		Path: s.program,
		Args: append([]string{s.program}, s.args...),
		Env:  s.env,
	}, s.out, l.guard, l.timing.linger)
	return w, nil
}

// follow reads what the plugin prints over its connection, until disconnect.
func (w *spawned) follow() {
	go func() {
		defer close(w.followed)
		followOutput(context.Background(), w.conn, w.out)
	}()
}

// giveUp ends a plugin that did not get ready. One that hangs shows where, if
// its runtime can.
func (w *spawned) giveUp(ctx context.Context) {
	if errors.Is(context.Cause(ctx), errTookTooLong) {
		w.proc.dump()
		_ = await(context.Background(), w.proc.exited, w.timing.dying)
	}
	_ = w.proc.Kill(context.Background())
}

// greet starts the process and gets its address.
func (w *spawned) greet(ctx context.Context, limit time.Duration) *Failure {
	config := w.clientConfig(limit)
	var startErr error
	ran := false
	config.RunnerFunc = func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
		ran = true
		w.adopt(cmd.Env)
		return startReporter{w.proc, &startErr}, nil
	}
	// The client is only used to start: its Kill and its connection have no
	// deadlines, and wait for whoever holds the process's pipes.
	addr, err := plugin.NewClient(config).Start()
	switch {
	case !ran:
		return w.fail(w.now(), KindRefused, fmt.Sprintf("its start could not be prepared: %v", err), "")
	case startErr != nil:
		return w.unstartable(startErr)
	}
	hello, found, noise := w.proc.shake.seen()
	if found {
		if what, do := hello.problem(pluginNetwork); what != "" {
			return w.fail(w.now(), KindIncompatible, what, do)
		}
	}
	if err != nil {
		return w.silent(ctx, limit, noise)
	}
	if pluginNetwork == "unix" && !w.dirs.holds(w.dir, addr.String()) {
		return w.fail(w.now(), KindIncompatible, fmt.Sprintf("its socket is %s", addr),
			"let the plugin listen in the directory that PLUGIN_UNIX_SOCKET_DIR names")
	}
	w.socket = addr.String()
	if w.conn, err = connect(addr.Network(), w.socket, config.TLSConfig); err != nil {
		return w.fail(w.now(), KindLost, fmt.Sprintf("no connection can be made: %v", err), "")
	}
	return nil
}

// clientConfig is go-plugin's part of a start.
func (w *spawned) clientConfig(limit time.Duration) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  pluginapi.Handshake,
		VersionedPlugins: pluginapi.HostPlugins(),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off}),
		SkipHostEnv:      true,
		StartTimeout:     limit + time.Second, // ours comes first
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: w.dir},
		MaxPort:          1, // where TCP is used: any port
		AutoMTLS:         pluginNetwork != "unix",
	}
}

// adopt takes over what go-plugin's server expects in its environment, with
// the shortest possible directory for its socket.
func (w *spawned) adopt(env []string) {
	for _, kv := range env {
		if !strings.HasPrefix(kv, plugin.EnvUnixSocketDir+"=") {
			w.proc.cmd.Env = append(w.proc.cmd.Env, kv)
		}
	}
	w.proc.cmd.Env = append(w.proc.cmd.Env, plugin.EnvUnixSocketDir+"="+w.dir)
}

// startReporter remembers what Start said: go-plugin's own errors can't be
// told from it otherwise.
type startReporter struct {
	*process
	err *error
}

// Start starts the process.
func (r startReporter) Start(ctx context.Context) error {
	*r.err = r.process.Start(ctx)
	return *r.err
}

// unstartable words why the system does not run a program.
func (w *spawned) unstartable(err error) *Failure {
	what := fmt.Sprintf("its program %s can't be run: %v", w.program, err)
	var do string
	other, _ := errors.AsType[*fs.PathError](err)
	switch {
	case other != nil && other.Path == os.DevNull: // os/exec opens it for standard input
		what = fmt.Sprintf("its program %s can't be started: there is no usable %s, which is to be its standard input: %v", w.program, os.DevNull, other.Err)
		do = "give the broker's container, jail or unit a /dev with null in it, then reload the plugin"
	case errors.Is(err, syscall.ENOEXEC):
		what = fmt.Sprintf("its program %s is not one for %s/%s (exec format error)", w.program, runtime.GOOS, runtime.GOARCH)
		do = "install a build for this system; a script needs a first line such as #!/bin/sh"
	case errors.Is(err, fs.ErrNotExist):
		what = fmt.Sprintf("its program %s can't be run: the interpreter of its first line, or its loader, does not exist", w.program)
		do = "install what it needs, or a build for this system"
	case errors.Is(err, syscall.ETXTBSY):
		return w.fail(w.now(), KindUnfinished, fmt.Sprintf("its program %s is still being written", w.program),
			"it is tried again; copy a program under another name and rename it then")
	case errors.Is(err, fs.ErrPermission):
		do = "chmod +x it, and look whether its file system is mounted noexec"
	}
	return w.fail(w.now(), KindUnrunnable, what, do)
}

// silent words why there was no handshake.
func (w *spawned) silent(ctx context.Context, limit time.Duration, noise []string) *Failure {
	instead := ""
	if len(noise) > 0 {
		instead = fmt.Sprintf(", and printed %q instead", noise[0])
	}
	byHand := fmt.Sprintf("is it a Gatehouse plugin? run %q to see", strings.Join(append([]string{filepath.Base(w.program)}, w.args...), " ")+" describe")
	switch {
	case errors.Is(context.Cause(ctx), errTookTooLong):
		kind := KindHung
		if instead != "" {
			kind = KindGarbled
		}
		return w.fail(w.now(), kind, fmt.Sprintf("it did not print its handshake within %v%s", limit, instead), byHand)
	case ctx.Err() != nil:
		return w.fail(w.now(), KindExited, "its start was given up", "")
	}
	// go-plugin kills what closes its standard output.
	if await(context.Background(), w.proc.exited, w.timing.reap) == nil && !w.proc.wasShot() {
		return w.fail(w.now(), KindExited, describeExit(w.proc.cmd.ProcessState)+" before its handshake"+instead, byHand)
	}
	return w.fail(w.now(), KindGarbled, "it closed its standard output without a handshake"+instead, byHand)
}

// introduce makes the connected plugin ready.
func (w *spawned) introduce(ctx context.Context, limit time.Duration) *Failure {
	w.follow()
	talk, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel() // there is nobody to talk to any more
		_ = w.proc.Wait(talk)
	}()
	init, f, err := w.launcher.introduce(talk, w.start, w.conn)
	// A call that ends by itself may be the first sign of either: that the process
	// has, or that its time is up, which gRPC's server sees on a clock of its own.
	// The second ends the process too, so the cause is read behind the wait.
	ended := err != nil && ctx.Err() == nil && await(context.Background(), w.proc.exited, w.timing.linger) == nil
	switch {
	case f != nil:
		return f
	case err == nil:
		w.instance = newInstance(w.id, w.conn, init)
		w.service.instance.Store(w.instance)
		if w.stable = w.socket; pluginNetwork == "unix" {
			w.stable = w.dirs.stable(w.Name)
		}
		return nil
	case errors.Is(context.Cause(ctx), errTookTooLong):
		return w.fail(w.now(), KindHung, fmt.Sprintf("it did not finish Init within %v", limit),
			"look at its log for what it waits for, or raise start_timeout")
	case ctx.Err() != nil:
		return w.fail(w.now(), KindExited, "its start was given up", "")
	case ended:
		return w.fail(w.now(), KindExited, describeExit(w.proc.cmd.ProcessState)+" during Init", "")
	}
	return w.fail(w.now(), KindLost, "it could not be initialised: "+rpcError(err), "")
}

// remove removes the private directory of the process.
func (w *spawned) remove() {
	if err := os.RemoveAll(w.dir); err != nil {
		w.log.Warn("plugin's run directory not removed", slog.Any("error", err))
	}
}
