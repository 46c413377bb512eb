//go:build unix

package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// guardScript remembers process groups ("+ ID" adds one, "- ID" removes it)
// and kills those that it still has when its input ends.
const guardScript = `trap '' HUP INT QUIT TERM PIPE
set --
while read -r op g; do
  case $op in
  +) set -- "$@" "$g" ;;
  -) n=$#; while [ "$n" -gt 0 ]; do p=$1; shift; [ "$p" = "$g" ] || set -- "$@" "$p"; n=$((n-1)); done ;;
  esac
done
for g do kill -s KILL -- "-$g" 2>/dev/null; done
`

// guard is a tiny process that outlives the broker by a moment: when the
// broker dies, be it by SIGKILL, the guard's standard input ends, and it kills
// the groups of all plugins. The kernel's death signal ends a plugin but not
// the children of it, and only Linux has it. A nil guard does nothing. Its
// methods may be called from many goroutines.
type guard struct {
	log  *slog.Logger
	mu   sync.Mutex // guards the fields below, and the order of writes
	cmd  *exec.Cmd
	in   io.WriteCloser
	held map[int]struct{}
}

// startGuard starts a guard. Without a shell there is none: it returns nil, and
// says so. The first process of a container needs none: with it the kernel ends
// all others.
func startGuard(log *slog.Logger) *guard {
	if os.Getpid() == 1 {
		return nil
	}
	g := &guard{log: log, held: make(map[int]struct{})}
	if err := g.start(); err != nil {
		log.Warn("no guard for children of plugins: they may outlive a killed broker", slog.Any("error", err))
		return nil
	}
	return g
}

// start runs the script. The caller holds mu, or is the only one.
func (g *guard) start() error {
	path, err := exec.LookPath("sh")
	if err != nil {
		return err
	}
	// It must not end with the terminal or the group of the broker.
	cmd := exec.CommandContext(context.Background(), path, "-c", guardScript, "gatehouse-guard")
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, in.Close())
	}
	g.cmd, g.in = cmd, in
	return nil
}

// protect puts a process group into the guard's care.
func (g *guard) protect(pgid int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[pgid] = struct{}{}
	if g.tell("+", pgid) != nil {
		g.replace()
	}
}

// release takes a process group out of its care.
func (g *guard) release(pgid int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.held, pgid)
	if g.tell("-", pgid) != nil {
		g.replace()
	}
}

// tell writes one line to the script. The caller holds mu.
func (g *guard) tell(op string, pgid int) error {
	_, err := fmt.Fprintf(g.in, "%s %d\n", op, pgid)
	return err
}

// replace starts a new guard in place of one that somebody ended. The caller
// holds mu.
func (g *guard) replace() {
	g.end()
	err := g.start()
	for pgid := range g.held {
		if err == nil {
			err = g.tell("+", pgid)
		}
	}
	if err != nil {
		g.log.Warn("guard for children of plugins is lost", slog.Any("error", err))
	}
}

// end lets the script come to its end. The caller holds mu.
func (g *guard) end() {
	_ = g.in.Close()
	timer := time.AfterFunc(2*time.Second, func() { _ = g.cmd.Process.Kill() })
	defer timer.Stop()
	_ = g.cmd.Wait()
}

// close ends the guard, which kills what it still has. It waits for it.
func (g *guard) close() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end()
}
