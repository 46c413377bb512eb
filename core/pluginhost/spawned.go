package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// spawned is a plugin whose process the host started.
type spawned struct {
	*launcher
	*start
	id       uint64
	dir      string // its run directory
	proc     *process
	conn     *grpc.ClientConn // nil until the handshake
	socket   string           // real path
	stable   string           // path for people
	instance *instance        // nil until Init
	followed chan struct{}    // closed when no more output comes over the connection
}

var _ worker = (*spawned)(nil)

func (w *spawned) facts() facts {
	pid, _ := strconv.Atoi(w.proc.ID())
	return facts{instance: w.instance, pid: pid, socket: w.stable, program: w.program}
}

func (w *spawned) expose() {
	if pluginNetwork != "unix" {
		return
	}
	if err := w.dirs.link(w.Name, w.socket); err != nil {
		w.log.Warn("no stable name for the plugin's socket", slog.Any("error", err))
	}
}

// attend ends the instance as soon as its process is gone.
func (w *spawned) attend() {
	<-w.proc.exited
	w.instance.fail(w.fail(w.now(), KindExited, describeExit(w.proc.cmd.ProcessState), ""))
}

func (w *spawned) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.timing.drain)
	defer cancel()
	_, err := pluginv1.NewPluginServiceClient(w.conn).Drain(ctx, &pluginv1.DrainRequest{})
	if err != nil {
		w.log.Debug("plugin did not drain", slog.String("error", rpcError(err)))
	}
}

// stop asks ever less gently: Stop, go-plugin's Shutdown, SIGTERM, SIGKILL.
// Each step has its own bound.
func (w *spawned) stop(ctx context.Context) {
	defer w.release()
	if w.askToStop(ctx) || w.gone(ctx, 0) {
		w.log.Info("plugin stopped")
		return
	}
	w.proc.terminate()
	if w.gone(ctx, w.timing.term) {
		w.log.Info("plugin stopped", slog.String("by", "SIGTERM"))
		return
	}
	w.log.Warn("plugin does not stop by itself and is killed")
}

// askToStop reports whether the plugin left because it was asked to.
func (w *spawned) askToStop(ctx context.Context) bool {
	asked, cancel := context.WithTimeout(ctx, w.timing.stop)
	defer cancel()
	_, err := pluginv1.NewPluginServiceClient(w.conn).Stop(asked, &pluginv1.StopRequest{})
	if err == nil && w.gone(ctx, w.timing.leave) {
		return true
	}
	if err != nil {
		w.log.Debug("plugin did not answer Stop", slog.String("error", rpcError(err)))
	}
	told, cancel := context.WithTimeout(ctx, w.timing.shutdown)
	defer cancel()
	// go-plugin's server cuts the connection instead of answering.
	return status.Code(shutdown(told, w.conn)) != codes.Unimplemented && w.gone(told, w.timing.shutdown)
}

// gone waits for the process's end.
func (w *spawned) gone(ctx context.Context, limit time.Duration) bool {
	return await(ctx, w.proc.exited, limit) == nil
}

// autopsy says why the instance ended, and ends the process if it was not that
// which ended it.
func (w *spawned) autopsy() *Failure {
	var f *Failure
	cause := w.instance.err()
	lost := errors.Is(cause, hook.ErrLost) && !errors.Is(cause, hook.ErrProtocol)
	switch {
	case errors.As(cause, &f):
	case lost && w.gone(context.Background(), w.timing.linger):
		// Its callers noticed before its exit was seen.
		f = w.fail(w.now(), KindExited, describeExit(w.proc.cmd.ProcessState), "")
	default:
		f = w.fail(w.now(), KindUntrusted, clean(cause.Error(), 300),
			"report this to the plugin's author")
	}
	if f.Kind == KindUnhealthy {
		w.proc.dump()
		w.gone(context.Background(), w.timing.dying)
	}
	return w.bury(f)
}

// bury releases everything and adds the plugin's last words to f.
func (w *spawned) bury(f *Failure) *Failure {
	w.release()
	return f.quoting(w.out)
}

// release ends the process, if need be by force, and frees what it had.
func (w *spawned) release() {
	_ = w.proc.Kill(context.Background())
	w.service.close()
	if w.proc.ID() != "" {
		// Bounded, because a process in the kernel's hands can't be ended.
		if await(context.Background(), w.proc.exited, w.timing.reap) != nil {
			w.log.Error("plugin's process can't be ended", slog.String("pid", w.proc.ID()))
		} else {
			_ = await(context.Background(), w.proc.quiet, w.timing.reap)
		}
	}
	if w.conn != nil {
		disconnect(w.conn, w.timing.reap)
		_ = await(context.Background(), w.followed, w.timing.reap)
	}
	if w.socket != "" {
		w.dirs.unlink(w.Name, w.socket)
	}
	w.remove()
}
