package pluginhost

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
)

// attached is a plugin that somebody else runs: it is used and let go, and
// never ended.
type attached struct {
	*launcher
	*start
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
	conn, err := connect("unix", s.attach, nil)
	if err != nil {
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
		return nil, f
	}
	w := &attached{launcher: l, start: s, conn: conn, instance: newInstance(l.dirs.number(), conn, init), watched: make(chan struct{})}
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
	return facts{instance: w.instance, socket: w.start.attach}
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
}

func (w *attached) autopsy() *Failure {
	w.stop(context.Background())
	var f *Failure
	if cause := w.instance.err(); !errors.As(cause, &f) {
		f = w.fail(w.now(), KindUntrusted, clean(cause.Error(), 300), "")
	}
	return f.quoting(w.out)
}
