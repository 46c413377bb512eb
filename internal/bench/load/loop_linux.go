package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Loop owns connections and waits for all of them at once.
type Loop struct {
	epoll  int
	timer  int // a timerfd, for sending at exact times
	conns  map[int32]*Conn
	events []unix.EpollEvent
	buffer []byte
	err    error // the first that a connection met
}

// NewLoop makes a loop without connections. Close it in the end.
func NewLoop() (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("timerfd: %w", err), unix.Close(epoll))
	}
	l := &Loop{
		epoll: epoll, timer: timer, conns: make(map[int32]*Conn),
		events: make([]unix.EpollEvent, 1024), buffer: make([]byte, 256<<10),
	}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, timer, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(timer)})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), l.Close())
	}
	return l, nil
}

// Close closes all connections, without DISCONNECT.
func (l *Loop) Close() error {
	for _, c := range l.conns {
		_ = unix.Close(c.fd)
	}
	l.conns = nil
	return errors.Join(unix.Close(l.timer), unix.Close(l.epoll))
}

// Conn is one connection. What it receives goes to its handler.
type Conn struct {
	loop    *Loop
	fd      int
	in, out []byte
	blocked bool // epoll tells when more can be written
	handle  func(Packet)
}

// Dial opens a connection; handle gets each packet that arrives, whose body is
// valid during the call.
func (l *Loop) Dial(addr netip.AddrPort, handle func(Packet)) (*Conn, error) {
	return l.DialFrom(netip.IPv4Unspecified(), addr, handle)
}

// DialFrom is Dial from an address of this machine.
func (l *Loop) DialFrom(from netip.Addr, addr netip.AddrPort, handle func(Packet)) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	fail := func(what string, err error) (*Conn, error) {
		return nil, errors.Join(fmt.Errorf("%s %s: %w", what, addr, err), unix.Close(fd))
	}
	if !from.IsUnspecified() {
		err := errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
			unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}),
		)
		if err != nil {
			return fail("bind to "+from.String()+" for", err)
		}
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return fail("connect to", err)
	}
	if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.SetNonblock(fd, true)); err != nil {
		return fail("set up", err)
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		return fail("watch", err)
	}
	c := &Conn{loop: l, fd: fd, handle: handle}
	l.conns[int32(fd)] = c
	return c, nil
}

// Drop closes the connection, without DISCONNECT.
func (c *Conn) Drop() {
	delete(c.loop.conns, int32(c.fd))
	_ = unix.Close(c.fd)
}

// Append adds bytes that [Conn.Flush] sends.
func (c *Conn) Append(b ...byte) { c.out = append(c.out, b...) }

// Flush writes what was appended; what the socket does not take follows when it
// does.
func (c *Conn) Flush() {
	for len(c.out) > 0 && !c.blocked {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case err == nil:
			c.out = c.out[:copy(c.out, c.out[n:])]
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			c.watch(unix.EPOLLIN|unix.EPOLLOUT, true)
		default:
			c.loop.fail(fmt.Errorf("write: %w", err))
			return
		}
	}
}

func (c *Conn) watch(events uint32, blocked bool) {
	c.blocked = blocked
	if err := unix.EpollCtl(c.loop.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)}); err != nil {
		c.loop.fail(fmt.Errorf("watch: %w", err))
	}
}

func (l *Loop) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// ErrIdle says that nothing arrived for too long.
var ErrIdle = errors.New("nothing arrives any more")

// Until serves connections until done says so, asked after each round. It gives
// up with [ErrIdle] once nothing has arrived for idle, or with the first error
// of a connection.
func (l *Loop) Until(idle time.Duration, done func() bool) error {
	last := time.Now()
	for !done() {
		n, err := l.round(100 * time.Millisecond)
		if err != nil {
			return err
		}
		if n > 0 {
			last = time.Now()
		} else if time.Since(last) > idle {
			return ErrIdle
		}
	}
	return l.err
}

// round waits for events and serves them. It returns how many there were, those
// of the timer left out.
func (l *Loop) round(wait time.Duration) (served int, err error) {
	n, err := unix.EpollWait(l.epoll, l.events, int(wait.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return 0, fmt.Errorf("epoll: %w", err)
	}
	for i := range max(n, 0) {
		e := &l.events[i]
		if int(e.Fd) == l.timer {
			var expirations [8]byte
			_, _ = unix.Read(l.timer, expirations[:])
			continue
		}
		served++
		c := l.conns[e.Fd]
		if c == nil {
			continue // dropped by a handler of this round
		}
		if e.Events&unix.EPOLLOUT != 0 {
			c.watch(unix.EPOLLIN, false)
			c.Flush()
		}
		if e.Events&^uint32(unix.EPOLLOUT) != 0 {
			c.read()
		}
	}
	return served, l.err
}

// wakeIn makes the next round end after d at the latest.
func (l *Loop) wakeIn(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))}
	if err := unix.TimerfdSettime(l.timer, 0, &spec, nil); err != nil {
		l.fail(fmt.Errorf("timerfd: %w", err))
	}
}

// read takes what one read brings and hands on the packets that are complete.
func (c *Conn) read() {
	l := c.loop
	n, err := unix.Read(c.fd, l.buffer)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil:
		l.fail(fmt.Errorf("read: %w", err))
		return
	case n == 0:
		l.fail(errors.New("the broker closed a connection"))
		return
	}
	data := l.buffer[:n]
	if len(c.in) > 0 {
		c.in = append(c.in, data...)
		data = c.in
	}
	rest, err := split(data, c.handle)
	if err != nil {
		l.fail(err)
	}
	// The rest may overlap with c.in, which append to its beginning allows.
	c.in = append(c.in[:0], rest...)
	if len(c.in) == 0 {
		c.in = nil
	}
	if l.conns[int32(c.fd)] == c {
		c.Flush()
	}
}
