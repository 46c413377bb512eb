package session_test

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

const (
	raceClients  = 4
	raceMessages = 1500 // of each
	raceCuts     = 30
	raceRecorded = 5 // QoS 2 exchanges that wait for their PUBCOMP
)

// raceReceiver is a subscriber that many publish to at once.
type raceReceiver struct {
	t         *testing.T
	s         *session.Session
	published chan struct{} // closed when all publishers are done

	held     map[uint16]bool
	recorded []uint16           // exchanges whose PUBREC is out and PUBCOMP not
	seen     [raceClients][]int // messages of each publisher, as they came
}

// TestConcurrency lets publishers, writer, reader and bystanders at one
// session, over connections that are cut; run it with -race. Nothing of QoS 1
// and 2 may be missing, nothing of QoS 2 double, and all in order.
func TestConcurrency(t *testing.T) {
	r := &raceReceiver{
		t: t, held: map[uint16]bool{}, published: make(chan struct{}),
		s: session.New("client", session.Limits{InFlight: 16, QueueMessages: raceClients * raceMessages}),
	}
	var publishers, others sync.WaitGroup
	for p := range raceClients {
		publishers.Go(func() { r.publish(p) })
	}
	others.Go(func() {
		publishers.Wait()
		close(r.published)
	})
	stop := make(chan struct{})
	others.Go(func() { r.bystander(stop) })
	for range raceCuts {
		r.connection(100)
	}
	r.connection(-1)
	close(stop)
	others.Wait()
	r.check()
}

// raceQoS makes the QoS of a message follow from its number.
func raceQoS(number int) mqtt.QoS { return mqtt.QoS(number % 3) }

func (r *raceReceiver) publish(p int) {
	for n := range raceMessages {
		d := message(raceQoS(n), string(binary.BigEndian.AppendUint32([]byte{byte(p)}, uint32(n))))
		o, dropped := r.s.Enqueue(d, t0)
		if dropped != nil || o != session.Queued && (o != session.DroppedOffline || d.QoS > 0) {
			r.t.Errorf("message %d of %d: %v", n, p, o)
		}
	}
}

// bystander calls what others may call at any time.
func (r *raceReceiver) bystander(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		r.s.Filter(func(d mqtt.Delivery) bool { return len(d.Message.Payload) == 5 })
		r.s.Expire(t0)
		r.s.SetLimits(session.Limits{InFlight: 16, QueueMessages: raceClients * raceMessages})
		r.s.Subscribe(mqtt.Subscription{Filter: "f"})
		r.s.Subscriptions()
		r.s.Alias("topic")
		r.s.ResolveAlias("topic", 1, true)
		if receipt, code := r.s.Receive(1, 2); receipt == session.NewMessage && code == mqtt.Success {
			r.s.Acknowledge(1, 2, mqtt.Success)
		}
		r.s.Release(1)
		if messages, bytes := r.s.QueueLen(); bytes != messages*len("demo/topic00000") {
			r.t.Errorf("%d messages of %d bytes", messages, bytes)
			return
		}
	}
}

// connection attaches the client and cuts it off after some packets; a
// negative number means when all is done.
func (r *raceReceiver) connection(packets int) {
	wake := make(chan struct{}, 1)
	done := make(chan struct{})
	wire := make(chan session.Outgoing, 8)
	var wakes, turns atomic.Int64
	var goroutines sync.WaitGroup
	r.s.Attach(session.Attachment{Version: mqtt.V5, AliasMaximum: 3, Wake: func() {
		wakes.Add(1)
		select {
		case wake <- struct{}{}:
		default:
		}
	}})
	goroutines.Go(func() { turns.Store(r.write(wake, done, wire)) })
	goroutines.Go(func() {
		defer close(done)
		r.read(packets, wire)
	})
	goroutines.Wait()
	r.s.Detach()
	if n, most := wakes.Load(), turns.Load()+1; n > most {
		r.t.Errorf("%d wakes, at most %d had a reason", n, most)
	}
}

// write is the broker's writer; it counts its calls of Next.
func (r *raceReceiver) write(wake, done chan struct{}, wire chan session.Outgoing) (turns int64) {
	var batch []session.Outgoing
	for {
		select {
		case <-wake:
		case <-done:
			return turns
		}
		for {
			turns++
			batch = r.s.Next(batch[:0], 5, t0, nil)
			if len(batch) == 0 {
				break
			}
			for _, o := range batch {
				select {
				case wire <- o:
				case <-done:
					return turns
				}
			}
		}
	}
}

// read is the client, and the broker's reader. It returns after some packets,
// or when there is nothing left.
func (r *raceReceiver) read(packets int, wire chan session.Outgoing) {
	for packets != 0 {
		packets--
		select {
		case o := <-wire:
			r.handle(o)
		case <-r.published:
			r.release(0)
			if r.s.Pending() == 0 && len(wire) == 0 {
				return
			}
			r.handle(<-wire)
		}
	}
	r.recorded = nil // their PUBCOMPs are lost
}

func (r *raceReceiver) handle(o session.Outgoing) {
	payload := o.Delivery.Message.Payload
	p, n := payload[0], int(binary.BigEndian.Uint32(payload[1:]))
	switch {
	case o.Kind == session.SendPubrel:
		r.recorded = append(r.recorded, o.ID)
	case o.Delivery.QoS < 2:
		r.seen[p] = append(r.seen[p], n)
		r.s.Puback(o.ID)
	default:
		if !r.held[o.ID] {
			r.held[o.ID] = true
			r.seen[p] = append(r.seen[p], n)
		}
		if _, pubrel, _, _ := r.s.Pubrec(o.ID, mqtt.Success); pubrel {
			r.recorded = append(r.recorded, o.ID)
		}
	}
	r.release(raceRecorded)
}

// release sends the PUBCOMPs of all but some exchanges.
func (r *raceReceiver) release(but int) {
	for len(r.recorded) > but {
		delete(r.held, r.recorded[0])
		r.s.Pubcomp(r.recorded[0])
		r.recorded = r.recorded[1:]
	}
}

func (r *raceReceiver) check() {
	for p, seen := range r.seen {
		count := make([]int, raceMessages)
		newest := -1
		for _, n := range seen {
			if count[n]++; count[n] == 1 && n < newest {
				r.t.Errorf("message %d of %d came after %d", n, p, newest)
			}
			newest = max(newest, n)
		}
		for n, c := range count {
			if q := raceQoS(n); q == 2 && c != 1 || q == 1 && c == 0 {
				r.t.Errorf("message %d of %d, QoS %d, came %d times", n, p, q, c)
			}
		}
	}
	if n := r.s.Pending(); n != 0 {
		r.t.Errorf("%d pending", n)
	}
}
