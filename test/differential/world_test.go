package differential

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// world is one broker with its clients.
type world struct {
	name    string
	addr    string
	slots   []*slot
	watcher *client // sees the wills
}

// slot is the place of one client, connected or not.
type slot struct {
	client *client           // nil if it has no connection
	past   []event           // of connections that have ended in this step
	sent   map[uint16]string // see client.sent; kept with the session
}

// watched are the topics of wills.
const watched = "will/#"

func newWorld(name, addr string, slots int) (*world, error) {
	w := &world{name: name, addr: addr}
	for range slots {
		w.slots = append(w.slots, &slot{sent: make(map[uint16]string)})
	}
	return w, w.watch()
}

// watch connects the watcher.
func (w *world) watch() (err error) {
	w.watcher, err = dial(w.addr, plainConnect("watcher"), make(map[uint16]string))
	if err != nil {
		return err
	}
	sub := mqtt.Subscription{Filter: watched, QoS: 2, RetainAsPublished: true, RetainHandling: mqtt.RetainDoNotSend}
	if err := w.watcher.send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{sub}}); err != nil {
		return err
	}
	if _, err := w.watcher.answered(packet.SUBACK, 1); err != nil {
		return err
	}
	w.watcher.drain()
	return nil
}

func plainConnect(id string) *packet.Connect {
	return &packet.Connect{
		Version: mqtt.V5, ClientID: id, CleanStart: true, KeepAlive: 600, ReceiveMaximum: 65_535, RequestProblemInfo: true,
	}
}

// connect opens a connection. The one that the client has is taken over.
func (w *world) connect(sl *slot, p *packet.Connect) error {
	old := sl.client
	c, err := dial(w.addr, p, sl.sent)
	if err != nil {
		return err
	}
	ack, err := c.await("CONNACK", func(e *event) bool { return e.kind == packet.CONNACK.String() })
	if err != nil {
		return err
	}
	if old != nil {
		if err := old.awaitClosed(); err != nil {
			return fmt.Errorf("taken over: %w", err)
		}
		sl.retire()
	}
	sl.client = c
	if p.CleanStart || !ack.present && p.Version != mqtt.V31 { // which has no such flag
		clear(sl.sent)
	}
	return nil
}

// retire takes the events of a connection that has ended.
func (sl *slot) retire() {
	sl.past = append(sl.past, sl.client.drain()...)
	sl.client = nil
}

// settle brings all clients to rest: until a round of pings brings nothing but
// their answers.
func (w *world) settle(s *step) error {
	if c := w.slots[s.slot].client; c != nil {
		c.ping()
	}
	if s.will != "" {
		// If it does not come, the comparison will say so.
		_ = w.watcher.wait(2*time.Second, "the will", func() bool {
			return slices.ContainsFunc(w.watcher.events, func(e event) bool { return e.payload == s.will })
		})
	}
	for range 1000 {
		before := w.total()
		w.pingAll()
		if w.total() == before {
			return nil
		}
	}
	return errors.New("the clients do not come to rest")
}

func (w *world) clients() (all []*client) {
	for _, sl := range w.slots {
		if sl.client != nil {
			all = append(all, sl.client)
		}
	}
	return append(all, w.watcher)
}

func (w *world) total() (n int) {
	for _, c := range w.clients() {
		n += c.count()
	}
	return n
}

func (w *world) pingAll() {
	var wg sync.WaitGroup
	for _, c := range w.clients() {
		wg.Go(c.ping)
	}
	wg.Wait()
}

// collect takes what happened to each client, the watcher last. A connection
// that the broker has ended by itself is none any more.
func (w *world) collect() [][]event {
	out := make([][]event, 0, len(w.slots)+1)
	for _, sl := range w.slots {
		if sl.client != nil && sl.client.gone() {
			sl.retire()
		}
		events := sl.past
		sl.past = nil
		if sl.client != nil {
			events = append(events, sl.client.drain()...)
		}
		out = append(out, events)
	}
	return append(out, w.watcher.drain())
}

// close ends all connections.
func (w *world) close() {
	for _, c := range w.clients() {
		_ = c.nc.Close()
	}
}
