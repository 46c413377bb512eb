package broker

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/internal/socket"
)

const (
	writeBatch     = 64
	writeBufSize   = 64 << 10
	controlBufKeep = 4 << 10
)

// writer is the sending half of a connection. Answers (control packets) are
// appended to a buffer by the reader; messages wait in the session. A goroutine
// that writes both is started by kick and ends when there is nothing left, so
// that an idle connection has none.
type writer struct {
	c *conn

	mu      sync.Mutex // guards the fields below
	control []byte     // encoded answers
	running bool
	again   bool          // kicked while running
	leaving bool          // the last deadline is set
	stopped bool          // no further start
	failed  bool          // the network gave up: nothing is written any more
	open    bool          // the client is connected: messages may follow the answers
	last    bool          // the last answer is queued: no message after it
	lastAt  int           // where in control the last answer begins
	room    chan struct{} // not nil: closed when control was taken
	held    held          // answers that wait for something to be written

	goes sync.WaitGroup // the running goroutine

	feed *feed // nil for none

	// What follows belongs to the running goroutine.
	*desk           // nil while none runs
	until time.Time // the deadline of writing
}

// desk is what a running writer works with. An idle connection has none.
type desk struct {
	buf   []byte
	batch []session.Outgoing
	later []*mqtt.Message // that deliver hooks published
	taken tally           // what was collected
	out   socket.Writer   // to the connection
}

// desks are those at which no writer sits.
var desks = sync.Pool{New: func() any {
	return &desk{buf: make([]byte, 0, writeBufSize), batch: make([]session.Outgoing, 0, writeBatch)}
}}

func (w *writer) init(c *conn) { w.c = c }

// connected lets messages be written; what the writer looks at is set by now,
// also if it has run before, for enhanced authentication.
func (w *writer) connected() {
	w.mu.Lock()
	w.open = true
	w.mu.Unlock()
	w.kick()
}

// kick makes sure that what is queued gets written. It does not block and may
// be called from any goroutine.
func (w *writer) kick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start()
}

// flush is kick for the reader, after it handled what it read: answers may wait
// and retained messages for new subscriptions. What waits in the session has
// seen to its own writing.
func (w *writer) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.control) > 0 || w.feed != nil {
		w.start()
	}
}

// rest lets go of memory for what is to come. Called by the reader of a
// connection that is idle.
func (w *writer) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return
	}
	if len(w.control) == 0 {
		w.control = nil
	}
}

// start lets a goroutine write. The caller holds mu.
func (w *writer) start() {
	switch {
	case w.stopped:
	case w.running:
		w.again = true
	default:
		w.running = true
		w.goes.Go(w.run)
	}
}

// farewell bounds all further writing, writes what is queued and lets no
// writer start afterwards.
func (w *writer) farewell(timeout time.Duration) {
	w.mu.Lock()
	w.leaving = true
	_ = w.c.nc.SetWriteDeadline(time.Now().Add(timeout))
	w.mu.Unlock()
	w.kick()
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.goes.Wait()
}

// run writes until there is nothing left.
func (w *writer) run() {
	d := desks.Get().(*desk)
	w.desk = d
	d.out.Reset(w.c.nc)
	buf := d.buf
	for {
		buf = w.collect(buf[:0])
		if len(buf) > 0 {
			w.write(buf)
		}
		if len(w.later) > 0 {
			w.c.b.publishLater(w.later)
			w.later = nil
			continue
		}
		if len(buf) > 0 {
			continue // if it failed, collect finds nothing from now on
		}
		w.mu.Lock()
		if w.again {
			w.again = false
			w.mu.Unlock()
			continue
		}
		w.running, w.desk = false, nil
		w.mu.Unlock()
		break
	}
	d.out.Reset(nil)
	if cap(buf) <= 4*writeBufSize {
		d.buf = buf[:0]
		desks.Put(d)
	}
}

// write writes all of buf, as long as the client takes some of it now and then.
func (w *writer) write(buf []byte) {
	for {
		patient := w.renewDeadline()
		n, err := w.out.Write(w.c.piece(buf))
		w.c.countBytesOut(n)
		if buf = buf[n:]; err == nil {
			if len(buf) == 0 {
				return
			}
			continue
		}
		if n > 0 && patient && errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		w.mu.Lock()
		w.failed = true
		w.mu.Unlock()
		if !errors.Is(err, net.ErrClosed) {
			w.c.end(ending{kind: hook.Lost, silent: true, err: err})
		}
		return
	}
}

// renewDeadline gives the client time to take something of what is written,
// unless the connection ends. Like that of reading, the deadline is moved now
// and then only.
func (w *writer) renewDeadline() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leaving {
		return false
	}
	limit := w.c.b.limits().WriteTimeout
	if enough := time.Now().Add(limit); w.until.Before(enough) {
		w.until = enough.Add(limit / 16)
		_ = w.c.nc.SetWriteDeadline(w.until)
	}
	return true
}

// collect appends everything that can be sent now, answers first, up to about
// one buffer.
func (w *writer) collect(buf []byte) []byte {
	w.mu.Lock()
	if w.failed {
		w.control, w.held = nil, held{}
		w.releaseRoom()
		w.mu.Unlock()
		return buf
	}
	wait := w.release()
	buf = w.takeAnswers(buf, len(w.control))
	silent := w.last || !w.open
	w.mu.Unlock()
	w.await(wait)
	if silent {
		return buf
	}
	now := time.Now()
	for len(buf) < writeBufSize {
		w.batch = w.c.client.sess.Next(w.batch[:0], writeBatch, now, w.expired)
		if len(w.batch) == 0 && !w.feedSome(now) {
			break
		}
		w.recheck()
		w.screen()
		buf = w.overtake(buf)
		for i := range w.batch {
			buf = w.encode(buf, &w.batch[i], now)
		}
		clear(w.batch)
	}
	w.c.countLeaving(w.taken)
	w.taken = tally{}
	return buf
}

func (w *writer) expired(m *mqtt.Message) { w.c.b.dropped(w.c.client, m, hook.CauseExpired) }

// recheck drops what has come from the disk and is not granted any more.
func (w *writer) recheck() {
	cl := w.c.client
	if !cl.recheck.Load() {
		return
	}
	w.batch = slices.DeleteFunc(w.batch, func(o session.Outgoing) bool {
		d := &o.Delivery
		if o.Kind != session.SendPublish || o.Dup || d.Direct || cl.mayReceive(d.Message) {
			return false
		}
		cl.sess.Cancel(o.ID)
		w.c.b.dropped(cl, d.Message, hook.CauseNotAuthorized)
		return true
	})
}

// screen asks the deliver hooks about what was queued while the client was
// away.
func (w *writer) screen() {
	if !w.c.b.hooks.Intercepts(hook.AfterAuthorization, hook.PointDeliver) {
		return
	}
	var list []screening
	for i := range w.batch {
		if o := &w.batch[i]; o.Kind == session.SendPublish && !o.Delivery.Screened {
			list = append(list, screening{client: w.c.client, info: w.c.client.info.Load(), delivery: &o.Delivery})
		}
	}
	if len(list) == 0 {
		return
	}
	var granted [writeBatch]mqtt.QoS
	for i := range w.batch {
		granted[i] = w.batch[i].Delivery.QoS
	}
	most := uint8(0)
	for i := range list {
		most = max(most, list[i].delivery.Message.Hops)
	}
	hand := hook.NewInHand(most)
	hand.Open()
	w.c.b.screen(hook.WithInHand(w.c.b.hookContext(), hand), list)
	w.later = append(w.later, hand.Close()...)
	kept := w.batch[:0]
	for i := range w.batch {
		o := w.batch[i]
		switch {
		case o.Kind == session.SendPassed:
		case o.Delivery.Message == nil:
			w.c.client.sess.Cancel(o.ID)
			continue
		case o.ID != 0 && o.Delivery.QoS == mqtt.AtMostOnce:
			// The session has it in flight already: QoS 0 ends that.
			w.c.client.sess.Cancel(o.ID)
			o.ID, o.Dup = 0, false
		default:
			// A step from 2 to 1 is not taken, for the same reason.
			o.Delivery.QoS = granted[i]
		}
		kept = append(kept, o)
	}
	w.batch = kept
}

// encode appends one packet.
func (w *writer) encode(buf []byte, o *session.Outgoing, now time.Time) []byte {
	c := w.c
	switch o.Kind {
	case session.SendPubrel:
		buf, _ = c.enc.Append(buf, &packet.Ack{Kind: packet.PUBREL, ID: o.ID})
		w.taken.packets++
		return buf
	case session.SendPassed:
		buf = append(buf, o.Passed.Packets...)
		w.taken.passed(o.Passed)
		o.Passed.Release()
		return buf
	}
	m := c.client.unmount(o.Delivery.Message)
	if !o.Dup && !c.client.mayGet(m, now) {
		c.client.sess.Cancel(o.ID)
		c.b.dropped(c.client, o.Delivery.Message, hook.CauseQuota)
		return buf
	}
	h := packet.PublishHeader{
		ID: o.ID, QoS: o.Delivery.QoS, Dup: o.Dup, Retain: o.Delivery.Retain,
		SubscriptionIDs: o.Delivery.SubscriptionIDs(),
	}
	if m.Properties != nil && m.Properties.HasExpiry {
		h.Expiry = m.RemainingExpiry(now)
	}
	if c.aliases {
		h.Alias, h.OmitTopic = c.client.sess.Alias(m.Topic)
	}
	out, err := c.enc.AppendPublish(buf, &h, m)
	if err != nil {
		// The client said that it takes no packet so large [MQTT-3.1.2-25].
		if c.aliases {
			c.client.sess.Unalias(m.Topic)
		}
		c.client.sess.Cancel(o.ID)
		c.b.dropped(c.client, o.Delivery.Message, hook.CauseTooLarge)
		return buf
	}
	w.taken.packets++
	w.taken.message(o.Delivery.QoS, len(m.Payload))
	c.client.receipts.sent(o.Delivery.Message, o.ID)
	if t := c.b.force.Load().tracer; t != nil {
		t.Sent(o.Delivery.Message, c.client.id, o.Delivery.QoS)
	}
	if c.b.hooks.Observes(hook.Delivered) {
		c.b.emit(c.client, &hook.Event{Kind: hook.Delivered, Message: o.Delivery.Message})
	}
	return out
}
