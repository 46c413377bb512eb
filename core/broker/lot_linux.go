package broker

import (
	"container/heap"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lot is where connections are parked: one goroutine waits for all of them with
// an epoll descriptor of its own, so that a parked connection has neither stack
// nor goroutine. The zero value is ready, and the goroutine runs only while
// somebody is parked.
//
// The runtime's poller would do the same at the price of one goroutine each,
// which is more than all the rest that a parked connection takes.
type lot struct {
	mu     sync.Mutex // guards the fields below and the dueAt of connections
	epoll  *os.File   // nil while nobody is parked
	raw    syscall.RawConn
	parked map[uint64]*conn // by conn.id
	due    timetable        // those of them that have a deadline
	alarm  time.Time        // the deadline that is set; zero for none
}

// add parks a connection until there is something to read or a time has passed,
// zero for never. It goes on with conn.unpark in a goroutine of its own.
func (l *lot) add(c *conn, until time.Time) {
	c.readBy(time.Time{})
	c.readEnd = until
	if l.insert(c) != nil {
		go c.unpark(nil) // there may be no descriptor for it: the reader waits itself, and parks later
		return
	}
	if c.ending() != nil {
		l.leave(c) // end looked for it before it was here
	}
}

// leave takes a connection out that has to end.
func (l *lot) leave(c *conn) {
	if l.take(c) {
		go c.unpark(os.ErrDeadlineExceeded)
	}
}

func (l *lot) insert(c *conn) error {
	raw, err := c.nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoll == nil {
		if err := l.open(); err != nil {
			return err
		}
		c.b.wg.Go(l.run) // parked connections are counted as well, so that nobody has waited yet
	}
	l.parked[c.id] = c
	if !c.readEnd.IsZero() {
		heap.Push(&l.due, c)
		l.setAlarm()
	}
	var watchErr error
	err = raw.Control(func(fd uintptr) { watchErr = l.watch(int(fd), c.id) })
	if err = errors.Join(err, watchErr); err != nil {
		l.remove(c)
	}
	return err
}

// open makes the epoll descriptor. The runtime's poller watches it in turn, so
// that the goroutine that waits blocks no thread.
func (l *lot) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(fd), "epoll")
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return err
	}
	l.epoll, l.raw, l.alarm, l.parked = f, raw, time.Time{}, make(map[uint64]*conn)
	return nil
}

// watch asks for one event when the descriptor is readable, or is so already.
func (l *lot) watch(fd int, id uint64) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	var err error
	controlErr := l.raw.Control(func(epoll uintptr) {
		err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, &e)
		if errors.Is(err, unix.EEXIST) { // it was parked before
			err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_MOD, fd, &e)
		}
	})
	return errors.Join(controlErr, os.NewSyscallError("epoll_ctl", err))
}

// run unparks whatever has something to read or is overdue, until nobody is
// parked.
func (l *lot) run() {
	events := make([]unix.EpollEvent, 128)
	for {
		n := 0
		err := l.raw.Read(func(epoll uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(epoll), events, 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
		if err != nil {
			n = 0 // the alarm
		}
		for i := range events[:max(n, 0)] {
			e := &events[i]
			l.wake(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
		}
		if !l.callOverdue() {
			return
		}
	}
}

// wake unparks the connection with an identifier, if it still is parked.
func (l *lot) wake(id uint64) {
	l.mu.Lock()
	c := l.parked[id]
	if c != nil {
		l.remove(c)
	}
	l.mu.Unlock()
	if c != nil {
		go c.unpark(nil)
	}
}

// callOverdue unparks whose time is up, sets the next alarm, and reports whether
// anybody is still parked. If not, the epoll descriptor is closed.
func (l *lot) callOverdue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for len(l.due) > 0 && !now.Before(l.due[0].readEnd) {
		c := l.due[0]
		l.remove(c)
		go c.unpark(os.ErrDeadlineExceeded)
	}
	if len(l.parked) == 0 {
		_ = l.epoll.Close()
		l.epoll, l.raw, l.parked, l.due = nil, nil, nil, nil
		return false
	}
	l.setAlarm()
	return true
}

// take reports whether the connection was parked, and takes it out.
func (l *lot) take(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parked[c.id] != c {
		return false
	}
	l.remove(c)
	if len(l.parked) == 0 {
		l.alarm = past // so that run ends
		_ = l.epoll.SetReadDeadline(l.alarm)
	}
	return true
}

// remove takes a parked connection out. The caller holds mu.
func (l *lot) remove(c *conn) {
	delete(l.parked, c.id)
	if !c.readEnd.IsZero() && c.dueAt < len(l.due) && l.due[c.dueAt] == c {
		heap.Remove(&l.due, c.dueAt)
	}
}

// setAlarm lets run look at deadlines when the next one has passed. The caller
// holds mu.
func (l *lot) setAlarm() {
	var next time.Time
	if len(l.due) > 0 {
		next = l.due[0].readEnd
	}
	if next.Equal(l.alarm) {
		return
	}
	l.alarm = next
	_ = l.epoll.SetReadDeadline(next)
}

// timetable is a heap of parked connections by deadline.
type timetable []*conn

func (t timetable) Len() int           { return len(t) }
func (t timetable) Less(i, j int) bool { return t[i].readEnd.Before(t[j].readEnd) }
func (t timetable) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].dueAt, t[j].dueAt = i, j
}

// Push implements heap.Interface.
func (t *timetable) Push(x any) {
	c := x.(*conn)
	c.dueAt = len(*t)
	*t = append(*t, c)
}

// Pop implements heap.Interface.
func (t *timetable) Pop() any {
	last := len(*t) - 1
	c := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	return c
}
