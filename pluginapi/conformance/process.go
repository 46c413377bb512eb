package conformance

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Launcher starts processes of the plugin under test, as a broker does up to
// Init, which is left to the cases. [Run] calls it from one goroutine, and has
// at most one process at a time.
type Launcher interface {
	// Launch starts a process and connects to it. The process tells output of
	// every line that it prints, until its Release has returned. An error says
	// why there is no process; nothing of it is left then.
	Launch(ctx context.Context, output *Output) (*Process, error)
}

// LauncherFunc is a function as a [Launcher].
type LauncherFunc func(ctx context.Context, output *Output) (*Process, error)

// Launch calls f.
func (f LauncherFunc) Launch(ctx context.Context, output *Output) (*Process, error) {
	return f(ctx, output)
}

// Process is a connected process of a plugin. Only Conn and Release are set for
// one that somebody else runs: it is asked, and neither stopped nor killed.
type Process struct {
	// Conn is the connection to it.
	Conn *grpc.ClientConn
	// Init is the request of Init, but for configuration, folder and log level.
	// Nil means that there is nothing to say beyond those.
	Init *pluginv1.InitRequest
	// PID is its number.
	PID int
	// Mark is a text that is in the environment of this process and of its
	// children, and of nothing else. Empty means that there is none.
	Mark string
	// Exited is closed when it is gone.
	Exited <-chan struct{}
	// Exit says how it ended, after Exited was closed, and whether all is well
	// with that.
	Exit func() (what string, well bool)
	// Terminate is SIGTERM to it.
	Terminate func()
	// Kill is SIGKILL to it and its children.
	Kill func()
	// Release ends it, if need be by force, and frees what it had.
	Release func()
}

// ours reports whether the process is the kit's to end.
func (p *Process) ours() bool { return p.Exited != nil }

// dead reports whether the process is known to be gone.
func (p *Process) dead() bool {
	if !p.ours() {
		return false
	}
	select {
	case <-p.Exited:
		return true
	default:
		return false
	}
}

// Stream says where a line of a plugin's output came from.
type Stream uint8

// The streams of a plugin.
const (
	Log   Stream = iota // standard error
	Early               // standard output, before the handshake
	Stray               // standard output, after the handshake
)

// Output keeps what processes of a plugin print. Its methods may be called from
// many goroutines.
type Output struct {
	mu     sync.Mutex // guards the fields below
	stray  []string
	secret map[string]bool // what must not be printed; true once it was
	where  map[string]string
}

// maxStray is how many stray lines are kept.
const maxStray = 20

// Line takes a line, which it does not keep.
func (o *Output) Line(line []byte, from Stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if from == Stray && len(o.stray) < maxStray {
		o.stray = append(o.stray, shortened(string(line)))
	}
	for secret, seen := range o.secret {
		if !seen && bytes.Contains(line, []byte(secret)) {
			o.secret[secret] = true
			o.where[secret] = shortened(string(line))
		}
	}
}

// watch has the output searched for a text from now on.
func (o *Output) watch(secret string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.secret == nil {
		o.secret, o.where = make(map[string]bool), make(map[string]string)
	}
	o.secret[secret] = false
}

// leaks returns the lines in which a watched text was seen.
func (o *Output) leaks() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lines []string
	for _, line := range o.where {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// strays returns what was printed after handshakes.
func (o *Output) strays() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.stray)
}

// shortened bounds what is shown of a text.
func shortened(s string) string {
	const most = 160
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
