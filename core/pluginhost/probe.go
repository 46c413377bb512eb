package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// ProbeOptions say which plugin a [Probe] is about.
type ProbeOptions struct {
	// Path leads to the plugin's folder or program, as in [Config].
	Path string
	// Env are variables that are added to the plugin's environment.
	Env map[string]string
	// StartTimeout bounds the way from a process's start to its handshake.
	// Zero means 10 s.
	StartTimeout time.Duration
	// Version is the broker's, for the plugin to see.
	Version string
}

// Probe runs processes of one plugin without a broker, for tools that check or
// measure it: files, environment, guard, run directory and handshake are the
// broker's own; Init and what follows are left to the caller. Its methods may
// be called from many goroutines.
type Probe struct {
	launcher *launcher
	found    found
	files    *verified
	root     string // holds the run directory and the data of the host
}

// ProbedProcess is a running process of a plugin, connected and not
// initialised. Its methods may be called from many goroutines.
type ProbedProcess struct {
	worker *spawned
}

// OutputStream says where a line of a plugin's output came from.
type OutputStream uint8

// The streams of a plugin.
const (
	OutputLog   OutputStream = iota // standard error
	OutputEarly                     // standard output, before the handshake
	OutputStray                     // standard output, after the handshake
)

// OpenProbe checks a plugin's files as the broker would, and makes a run
// directory. Nothing of the plugin runs afterwards. The error says what is
// wrong and what to do.
func OpenProbe(ctx context.Context, o ProbeOptions) (*Probe, error) {
	at := explicit(o.Path)
	if at.err != nil {
		return nil, fmt.Errorf("plugin %s: %w", o.Path, at.err)
	}
	name := programName(filepath.Base(at.String()))
	f := found{Config: Config{Name: name, Path: o.Path, Env: o.Env, StartTimeout: o.StartTimeout}, place: at, named: true}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("%w; the name is that of its folder or program", err)
	}
	v := &verifier{found: f, describeLimit: defaultTiming.describe}
	files, err := v.verify(ctx)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", name, err)
	}
	if files.attach != "" {
		return nil, fmt.Errorf("plugin %s: somebody runs it at unix://%s: stop that, or name the address instead of the folder", name, files.attach)
	}
	root, err := os.MkdirTemp("", "gh")
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	dirs, err := openRunDir(filepath.Join(root, "run"), log)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	return &Probe{
		launcher: &launcher{
			dirs: dirs, guard: startGuard(log), dataDir: root, version: o.Version, logLevel: "trace",
			now: time.Now, timing: defaultTiming, api: new(atomic.Pointer[ServerAPI]),
		},
		found: f, files: files, root: root,
	}, nil
}

// Name is the name under which the plugin runs, that of its folder or program.
func (p *Probe) Name() string { return p.found.Name }

// Manifest is what plugin.json says, or what "PROGRAM describe" printed.
func (p *Probe) Manifest() *pluginapi.Manifest { return p.files.manifest }

// Close frees the run directory. All processes have to be released before.
func (p *Probe) Close() error {
	p.launcher.guard.close()
	p.launcher.dirs.close()
	return os.RemoveAll(p.root)
}

// Start starts a process and connects to it. output is told of each line that
// it prints, until [ProbedProcess.Release] has returned; it may be called from
// several goroutines, and must not keep the line. nil: nobody wants to know.
// When Start fails, nothing of the process is left; the error is a [*Failure].
func (p *Probe) Start(ctx context.Context, output func(line []byte, stream OutputStream)) (*ProbedProcess, error) {
	l := p.launcher
	s := &start{found: p.found, verified: p.files, log: slog.New(slog.DiscardHandler)}
	s.out = newOutput(s.log, l.now)
	w, f := l.ready(s)
	if f != nil {
		return nil, f
	}
	if output != nil {
		s.out.tap = func(line []byte, stream string) {
			switch _, greeted, _ := w.proc.shake.seen(); {
			case stream == "":
				output(line, OutputLog)
			case greeted:
				output(line, OutputStray)
			default:
				output(line, OutputEarly)
			}
		}
	}
	limit := s.startTimeout()
	bound, cancel := context.WithTimeoutCause(ctx, limit, errTookTooLong)
	defer cancel()
	defer context.AfterFunc(bound, func() { w.giveUp(bound) })()
	if f := w.greet(bound, limit); f != nil {
		return nil, w.bury(f)
	}
	w.follow()
	if err := ping(bound, w.conn); err != nil {
		return nil, w.bury(w.fail(l.now(), KindLost, "it does not serve: "+rpcError(err),
			"serve grpc.health.v1.Health with SERVING for the service \""+pluginapi.HealthService+"\""))
	}
	return &ProbedProcess{worker: w}, nil
}

// Conn is the connection to the process.
func (p *ProbedProcess) Conn() *grpc.ClientConn { return p.worker.conn }

// PID is the number of the process.
func (p *ProbedProcess) PID() int { return p.worker.proc.pid }

// Dir is the process's private directory, which its environment and that of
// its children names.
func (p *ProbedProcess) Dir() string { return p.worker.dir }

// InitRequest is what the broker would send, without a configuration. It names
// a host service that answers UNAVAILABLE, as before a broker has started.
func (p *ProbedProcess) InitRequest() (*pluginv1.InitRequest, error) {
	return p.worker.initRequest(p.worker.start)
}

// Exited is closed when the process is gone.
func (p *ProbedProcess) Exited() <-chan struct{} { return p.worker.proc.exited }

// Exit says how the process ended, and what it wrote last. Call it after Exited
// is closed.
func (p *ProbedProcess) Exit() error {
	w := p.worker
	_ = await(context.Background(), w.proc.quiet, w.timing.reap)
	return w.fail(w.now(), KindExited, describeExit(w.proc.cmd.ProcessState), "").quoting(w.out)
}

// Success reports whether the process ended by itself with the status 0. Call
// it after Exited is closed.
func (p *ProbedProcess) Success() bool { return p.worker.proc.cmd.ProcessState.Success() }

// Terminate asks the process and its children to end, by SIGTERM where there is
// such a thing.
func (p *ProbedProcess) Terminate() { p.worker.proc.terminate() }

// Kill ends the process and its children at once.
func (p *ProbedProcess) Kill() { _ = p.worker.proc.Kill(context.Background()) }

// Release ends the process, if need be by force, and frees what it had.
func (p *ProbedProcess) Release() { p.worker.release() }
