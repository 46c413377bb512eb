package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// instance is one running plugin after a good Init. A plugin that was started
// again is another instance.
type instance struct {
	id   uint64 // grows with every instance of the host, never 0
	conn *grpc.ClientConn
	init *pluginv1.InitResponse

	// done is closed when the process is gone, or is about to be ended by
	// force: no answer comes any more.
	done chan struct{}

	end   sync.Once
	cause error // why it ended; written before done is closed
}

// newInstance makes an instance that lives until [instance.fail]. Tests make
// one from any connection.
func newInstance(id uint64, conn *grpc.ClientConn, init *pluginv1.InitResponse) *instance {
	return &instance{id: id, conn: conn, init: init, done: make(chan struct{})}
}

// fail ends the instance; only the first call counts. The supervisor calls it
// when the process is gone. A facade calls it for a plugin whose answers can't
// be trusted any more: the supervisor then ends the process and starts another.
func (in *instance) fail(cause error) {
	in.end.Do(func() {
		in.cause = cause
		close(in.done)
	})
}

// err is why the instance ended, or nil while it runs.
func (in *instance) err() error {
	select {
	case <-in.done:
		return in.cause
	default:
		return nil
	}
}

// slot is a plugin's place: it stays while instances come and go. current and
// WaitReady may be called from any goroutine.
type slot struct {
	name    string
	log     *slog.Logger // carries the attribute plugin
	facades *facades

	state atomic.Pointer[tenancy]

	// mu guards bound and orders changes of state. It is held over bind and
	// unbind, which do not block, so that no two instances are bound at once.
	mu    sync.Mutex
	bound *instance
}

// tenancy is who is in a slot until something changes.
type tenancy struct {
	instance *instance     // nil if there is none
	reason   error         // why there is none
	hopeless bool          // none will come by itself
	changed  chan struct{} // closed by the next tenancy
}

var (
	errNotStarted = errors.New("it has not been started")
	errStopping   = errors.New("it is being stopped")
)

// newSlot makes an empty slot with its facades.
func newSlot(name string, log *slog.Logger) *slot {
	s := &slot{name: name, log: log}
	s.state.Store(&tenancy{reason: errNotStarted, changed: make(chan struct{})})
	s.facades = newFacades(s, log)
	return s
}

// current is the instance to call. The error wraps [hook.ErrUnavailable] and
// says why there is none.
func (s *slot) current() (*instance, error) {
	t := s.state.Load()
	if t.instance == nil {
		return nil, s.unavailable(t.reason)
	}
	if err := t.instance.err(); err != nil {
		return nil, s.unavailable(err)
	}
	return t.instance, nil
}

// WaitReady returns nil as soon as there is an instance. It gives up, with an
// error, when ctx ends, and at once if no instance will come by itself: a
// plugin that failed for good is not worth a client's waiting. It makes the
// slot a [hook.Waiter].
func (s *slot) WaitReady(ctx context.Context) error {
	for {
		t := s.state.Load()
		if t.instance != nil && t.instance.err() == nil {
			return nil
		}
		if t.hopeless {
			return s.unavailable(t.reason)
		}
		select {
		case <-t.changed:
		case <-ctx.Done():
			_, err := s.current()
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// install binds the facades to in and makes it the current instance. An error
// of bind leaves the slot as it was.
func (s *slot) install(in *instance) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.facades.bind(in); err != nil {
		return err
	}
	old := s.bound
	s.bound = in
	s.change(tenancy{instance: in})
	if old != nil {
		s.facades.unbind(old)
	}
	return nil
}

// retire lets no new call reach in; those that it has may end.
func (s *slot) retire(in *instance, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load().instance == in {
		s.change(tenancy{reason: reason})
	}
}

// vacate takes in out of the slot and ends the calls that it has. It does
// nothing to another instance, so that a late call harms no successor.
func (s *slot) vacate(in *instance, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load().instance == in {
		s.change(tenancy{reason: reason})
	}
	if s.bound == in {
		s.bound = nil
		s.facades.unbind(in)
	}
}

// explain replaces the reason why the slot is empty; hopeless says that nobody
// should wait. It does nothing to a slot with an instance.
func (s *slot) explain(reason error, hopeless bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load().instance == nil {
		s.change(tenancy{reason: reason, hopeless: hopeless})
	}
}

// change starts a new tenancy. s.mu is held.
func (s *slot) change(t tenancy) {
	t.changed = make(chan struct{})
	old := s.state.Swap(&t)
	close(old.changed)
}

func (s *slot) unavailable(reason error) error {
	if f := (*Failure)(nil); errors.As(reason, &f) {
		reason = errors.New(f.What) // the name is said once
	}
	return fmt.Errorf("plugin %s: %w: %w", s.name, hook.ErrUnavailable, reason)
}
