package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"google.golang.org/grpc"
)

// attached is a plugin that somebody else runs: it is used and let go, and
// never ended.
type attached struct {
	*launcher
	*start
	dir      string // holds the socket of its host service
	conn     *grpc.ClientConn
	instance *instance
	leave    context.CancelFunc // ends watching
	watched  chan struct{}      // closed when nobody watches any more
}

var _ worker = (*attached)(nil)

// attach connects to a plugin that is there already.
func (l *launcher) attach(ctx context.Context, s *start) (worker, *Failure) {
	limit := s.startTimeout()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTookTooLong)
	defer cancel()
	do := "start it, or remove the address to let the broker run it"
	probe, err := dial(ctx, "unix", s.attach)
	if err != nil {
		return nil, s.fail(l.now(), KindLost, fmt.Sprintf("nobody serves it at %s: %v", s.attach, err), do)
	}
	_ = probe.Close()
	id := l.dirs.number()
	dir, err := l.claim(id, s)
	if err != nil {
		return nil, s.fail(l.now(), KindRefused, fmt.Sprintf("there is no place for the socket of its host service: %v", err), "")
	}
	conn, err := connect("unix", s.attach, nil)
	if err != nil {
		l.abandon(s, dir)
		return nil, s.fail(l.now(), KindLost, fmt.Sprintf("no connection can be made: %v", err), do)
	}
	init, f, err := l.introduce(ctx, s, conn)
	if err != nil && errors.Is(context.Cause(ctx), errTookTooLong) {
		f = s.fail(l.now(), KindHung, fmt.Sprintf("it did not finish Init within %v at %s", limit, s.attach), do)
	} else if err != nil {
		f = s.fail(l.now(), KindLost, fmt.Sprintf("it could not be initialised at %s: %s", s.attach, rpcError(err)), do)
	}
	if f != nil {
		disconnect(conn, l.timing.reap)
		l.abandon(s, dir)
		return nil, f
	}
	w := &attached{launcher: l, start: s, dir: dir, conn: conn, instance: newInstance(id, conn, init), watched: make(chan struct{})}
	s.service.instance.Store(w.instance)
	watching, leave := context.WithCancel(context.WithoutCancel(ctx))
	w.leave = leave
	go func() {
		defer close(w.watched)
		watch(watching, conn)
		w.instance.fail(s.fail(l.now(), KindLost, fmt.Sprintf("the connection to %s broke", s.attach), do))
	}()
	return w, nil
}

func (w *attached) facts() facts {
	fs := facts{instance: w.instance, socket: w.start.attach}
	if w.place.attach == "" {
		fs.guest = w.start.attach
	}
	return fs
}

// expose does nothing: its address is as stable as its owner makes it.
func (w *attached) expose() {}

// drain does nothing: the plugin goes on without this broker.
func (w *attached) drain(context.Context) {}

// stop lets go of the plugin. Its process is not the broker's to end.
func (w *attached) stop(context.Context) {
	w.leave()
	<-w.watched
	disconnect(w.conn, w.timing.reap)
	w.abandon(w.start, w.dir)
}

// abandon ends the host service of a plugin that is not the broker's to end.
func (l *launcher) abandon(s *start, dir string) {
	s.service.close()
	if err := os.RemoveAll(dir); err != nil {
		s.log.Warn("plugin's run directory not removed", slog.Any("error", err))
	}
}

func (w *attached) autopsy() *Failure {
	w.stop(context.Background())
	var f *Failure
	if cause := w.instance.err(); !errors.As(cause, &f) {
		f = w.fail(w.now(), KindUntrusted, clean(cause.Error(), 300), "")
	}
	return f.quoting(w.out)
}
