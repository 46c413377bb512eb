package listener

import (
	"container/list"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
)

const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultHandshakes       = 1024
)

// step is a part of the way to MQTT.
type step struct {
	// take returns the connection to go on with, which [Describe] knows, and
	// leaves deadlines alone. An error ends the way.
	take func(ctx context.Context, nc net.Conn) (net.Conn, error)
	// proxies are the networks whose connections learn in this step where they
	// come from.
	proxies []netip.Prefix
}

// handshaker is a listener whose connections go through steps before they are
// accepted.
type handshaker struct {
	raw     net.Listener
	steps   []step
	timeout time.Duration
	most    int
	gate    *gated
	log     refusals

	start   sync.Once
	ready   chan accepted
	closing chan struct{}
	goes    sync.WaitGroup // the accept loop and the handshakes

	mu      sync.Mutex // guards the fields below
	closed  bool
	pending *list.List // of net.Conn, the oldest in front
}

type accepted struct {
	nc  net.Conn
	err error
}

func newHandshaker(raw net.Listener, steps []step, gate *gated, o *Options) *handshaker {
	h := &handshaker{
		raw: raw, steps: steps, gate: gate, timeout: o.HandshakeTimeout, most: o.Handshakes,
		ready: make(chan accepted), closing: make(chan struct{}), pending: list.New(),
	}
	if h.timeout == 0 {
		h.timeout = defaultHandshakeTimeout
	}
	if h.most == 0 {
		h.most = defaultHandshakes
	}
	h.log.init(o.Logger, o.Name)
	return h
}

// Addr implements net.Listener.
func (h *handshaker) Addr() net.Addr { return h.raw.Addr() }

// Accept implements net.Listener. The first call starts to accept.
func (h *handshaker) Accept() (net.Conn, error) {
	h.start.Do(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.closed {
			h.goes.Go(h.acceptAll)
		}
	})
	select {
	case a := <-h.ready:
		return a.nc, a.err
	case <-h.closing:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It ends the handshakes and waits for them;
// connections that were accepted stay.
func (h *handshaker) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return net.ErrClosed
	}
	h.closed = true
	close(h.closing)
	err := h.raw.Close()
	for e := h.pending.Front(); e != nil; e = e.Next() {
		_ = e.Value.(net.Conn).Close()
	}
	h.mu.Unlock()
	h.goes.Wait()
	return err
}

func (h *handshaker) acceptAll() {
	for {
		nc, err := h.raw.Accept()
		if err != nil {
			// Whoever calls Accept knows how long to wait before the next.
			if errors.Is(err, net.ErrClosed) || !h.hand(accepted{err: err}) {
				return
			}
			continue
		}
		entered := h.addressKnown(nc, h.steps)
		if entered && !h.gate.enter(nc) {
			_ = nc.Close()
			continue
		}
		if e := h.enter(nc); e != nil {
			h.goes.Go(func() { h.handshake(nc, e, entered) })
		} else if entered {
			h.gate.abandon(nc, net.ErrClosed)
		}
	}
}

// hand gives something to Accept, or reports that the listener is closed.
func (h *handshaker) hand(a accepted) bool {
	select {
	case h.ready <- a:
		return true
	case <-h.closing:
		return false
	}
}

// enter notes a connection as being on its way; the oldest one gives way if
// there are too many. It returns nil if the listener is closed.
func (h *handshaker) enter(nc net.Conn) *list.Element {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = nc.Close()
		return nil
	}
	if h.pending.Len() >= h.most {
		oldest := h.pending.Front()
		_ = oldest.Value.(net.Conn).Close()
		h.pending.Remove(oldest)
	}
	return h.pending.PushBack(nc)
}

func (h *handshaker) leave(e *list.Element) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending.Remove(e)
}

// addressKnown reports whether none of the steps tells where a connection
// really comes from.
func (h *handshaker) addressKnown(nc net.Conn, steps []step) bool {
	return !slices.ContainsFunc(steps, func(s step) bool { return within(s.proxies, nc.RemoteAddr()) })
}

// handshake takes a connection through the steps. The gate is asked as soon as
// its address is known.
func (h *handshaker) handshake(raw net.Conn, e *list.Element, entered bool) {
	defer h.leave(e)
	ctx, cancel := context.WithTimeout(context.Background(), h.timeout)
	defer cancel()
	_ = raw.SetDeadline(time.Now().Add(h.timeout))
	nc := raw
	for i, s := range h.steps {
		next, err := s.take(ctx, nc)
		if err != nil {
			h.log.refused(nc, err)
			_ = raw.Close()
			if entered {
				h.gate.abandon(nc, err)
			}
			return
		}
		nc = next
		if !entered && h.addressKnown(nc, h.steps[i+1:]) {
			if entered = h.gate.enter(nc); !entered {
				_ = raw.Close()
				return
			}
		}
	}
	_ = raw.SetDeadline(time.Time{})
	if !h.hand(accepted{nc: nc}) {
		_ = raw.Close()
		h.gate.abandon(nc, net.ErrClosed)
	}
}

// refusals tells of connections that did not get as far as MQTT, at a bounded
// rate: anybody can make any number of them.
type refusals struct {
	log      *slog.Logger
	listener string
	lines    admission.Lines
}

func (r *refusals) init(log *slog.Logger, listener string) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r.log, r.listener = log, listener
}

func (r *refusals) refused(nc net.Conn, err error) {
	level := slog.LevelWarn
	if wentAway(err) {
		level = slog.LevelDebug
	}
	if !r.log.Enabled(context.Background(), level) {
		return
	}
	skipped, ok := r.lines.Turn(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("listener", r.listener), slog.String("peer", nc.RemoteAddr().String()), slog.String("reason", err.Error()),
	}
	var about interface{ Attrs() []slog.Attr }
	if errors.As(err, &about) {
		attrs = append(attrs, about.Attrs()...)
	}
	if skipped > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", skipped))
	}
	r.log.LogAttrs(context.Background(), level, "connection refused", attrs...)
}

// wentAway reports whether a handshake ended because the client said no more,
// as scanners and health checks do all day long.
func wentAway(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ECONNRESET)
}
