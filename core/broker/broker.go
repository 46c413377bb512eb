package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/quota"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// ErrClosed is what [Broker.Serve] returns after [Broker.Shutdown] or the end
// of its context.
var ErrClosed = errors.New("broker is closed")

// Broker is one MQTT broker. Make it with [New]; its methods may be called from
// many goroutines.
type Broker struct {
	log         *slog.Logger
	hooks       *hook.Hooks
	retained    *retain.Index
	sys         *retain.Index // the $SYS tree, never stored
	router      *router.Router
	force       atomic.Pointer[inForce]
	version     string
	shared      Shared
	serverItems serverItems
	bans        *ban.List
	quotas      *quota.Ledger
	kept        SessionStore // nil: sessions end with the broker
	changes     *session.Log // of kept; nil without

	door            *admission.Door
	authentications admission.Turnstile
	comings         *admission.Repetition // of client identifiers
	refusalLog      refusalLog
	lastRefused     lastRefused
	queued          admission.Budget // of what waits in all sessions, in memory
	spilled         admission.Budget // of what waits only on disk

	reconfigured chan struct{} // holds one: Run looks at what is in force
	started      time.Time

	clients    registry
	lot        lot
	stats      counters
	nextConnID atomic.Uint64

	mu        sync.Mutex // guards the fields below
	closed    bool
	paused    bool // no new connections, by the server API
	listeners map[listener.Listener]struct{}
	conns     map[*conn]struct{}
	places    map[string]*place // by the listener's name
	wg        sync.WaitGroup    // connection goroutines
}

// New makes a broker. It starts nothing.
func New(o Options) *Broker {
	b := &Broker{
		log: o.Logger, hooks: o.Hooks, retained: o.Retained, router: o.Router,
		version:   o.Version,
		started:   time.Now(),
		sys:       retain.New(retain.Options{}),
		listeners: make(map[listener.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
		places:    make(map[string]*place),

		door: admission.NewDoor(admission.Limits{}), comings: admission.NewRepetition(admission.Repeats{}),
		reconfigured: make(chan struct{}, 1),
	}
	if b.kept = o.Sessions; b.kept != nil {
		b.changes = b.kept.Log()
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.hooks == nil {
		b.hooks = hook.NewHooks(b.log)
	}
	if b.retained == nil {
		b.retained = retain.New(retain.Options{})
	}
	if b.router == nil {
		b.router = router.New(router.Options{})
	}
	if b.bans = o.Bans; b.bans == nil {
		b.bans = new(ban.List)
	}
	if b.quotas = o.Quotas; b.quotas == nil {
		b.quotas, _ = quota.Open(quota.Options{Logger: o.Logger}) // without a file nothing fails
	}
	f := newInForce(&o)
	f.limits.Kept.Memory, f.limits.Kept.Disk = &b.queued, &b.spilled
	b.force.Store(f)
	b.enforce(&f.limits)
	b.clients.init()
	b.hooks.SetPresence(b.present)
	return b
}

// Serve accepts connections of l until ctx ends or [Broker.Shutdown] is called,
// and closes l. It returns ErrClosed, or the error that made accepting
// impossible.
func (b *Broker) Serve(ctx context.Context, l listener.Listener) error {
	if !b.track(l) {
		_ = l.Close()
		return ErrClosed
	}
	defer b.untrack(l)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	guarded := listener.Guard(l, gate{b, l.Name()})
	trouble := trouble{b: b, listener: l.Name()}
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			trouble.over()
			if !guarded && (gate{b, l.Name()}).Enter(listener.PeerIP(nc)) != nil {
				_ = nc.Close()
				continue
			}
			b.accept(nc, l)
		case errors.Is(err, net.ErrClosed):
			return ErrClosed
		default:
			// Out of descriptors and the like: it passes, but not at once.
			select {
			case <-time.After(trouble.failed(err)):
			case <-ctx.Done():
			}
		}
	}
}

func (b *Broker) track(l listener.Listener) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.listeners[l] = struct{}{}
	return true
}

func (b *Broker) untrack(l listener.Listener) {
	_ = l.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.listeners, l)
}

// Run does what has to be done from time to time: it publishes $SYS and removes
// expired messages. It returns when ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	reap := time.NewTicker(5 * time.Second)
	defer reap.Stop()
	var state sysState
	var every time.Duration
	sys := time.NewTicker(time.Hour)
	defer sys.Stop()
	follow := func() {
		before := every
		if every = b.force.Load().sysEvery; every == before {
			return
		}
		sys.Stop()
		if every > 0 {
			sys.Reset(every)
			b.publishSys(&state)
		}
	}
	follow()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.reconfigured:
			follow()
		case now := <-reap.C:
			b.retained.Reap(now, 10_000)
			b.expireQueued(now)
		case <-sys.C:
			b.publishSys(&state)
		}
	}
}

// Farewell is what [Broker.Shutdown] tells MQTT 5 clients. The zero value says
// that the server shuts down.
type Farewell struct {
	// Code is the reason code. Zero means UseAnotherServer if there is a
	// server reference, else ServerShuttingDown.
	Code            mqtt.ReasonCode
	Reason          string // "" means "the server is shutting down"
	ServerReference string
	User            []mqtt.UserProperty
}

func (f Farewell) ending() ending {
	e := ending{kind: hook.ByServer, code: f.Code, reason: f.Reason, serverReference: f.ServerReference, user: f.User}
	or(&e.reason, "the server is shutting down")
	if f.ServerReference != "" {
		or(&e.code, mqtt.UseAnotherServer)
	}
	or(&e.code, mqtt.ServerShuttingDown)
	return e
}

// Shutdown is ShutdownWith the farewell that says just that.
func (b *Broker) Shutdown(ctx context.Context) error { return b.ShutdownWith(ctx, Farewell{}) }

// ShutdownWith stops accepting, bids MQTT 5 clients farewell, closes all
// connections, publishes their wills as the specification says, and waits for
// all goroutines until ctx ends. Sessions end with the broker, but for those that
// [Options.Sessions] keeps.
func (b *Broker) ShutdownWith(ctx context.Context, f Farewell) error {
	b.mu.Lock()
	b.closed = true
	for l := range b.listeners {
		_ = l.Close()
	}
	for c := range b.conns {
		c.end(f.ending())
	}
	b.mu.Unlock()

	done := make(chan struct{})
	go func() {
		b.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		// The sockets go, so that the goroutines follow.
		b.mu.Lock()
		n := len(b.conns)
		for c := range b.conns {
			_ = c.nc.Close()
		}
		b.mu.Unlock()
		return fmt.Errorf("%d connections did not end in time: %w", n, ctx.Err())
	}
	b.clients.closeAll(ctx)
	return nil
}

// expireQueued drops expired messages that wait for clients who are away.
func (b *Broker) expireQueued(now time.Time) {
	for _, c := range b.clients.offline() {
		b.expired(c, c.sess.Expire(now))
	}
}

// expired counts messages that were dropped because their time was up.
func (b *Broker) expired(c *client, list []session.Drop) {
	for i := range list {
		b.dropped(c, list[i].Delivery.Message, hook.CauseExpired)
	}
}
