package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// narrowed is a session with room for so many messages in memory.
func narrowed(s *Store, inMemory int, kept session.KeptLimits) *session.Session {
	kept.MemoryMessages = inMemory
	c := session.New("c", session.Limits{Kept: &kept})
	c.Keep(s.Log(), session.DurabilityInterval)
	c.Describe(&session.Profile{ClientID: "c", Expiry: 100})
	return c
}

// waitSettled waits until everything is written and the sessions know: they are
// told between what was written and what is written next.
func waitSettled(t *testing.T, s *Store) {
	t.Helper()
	waitWritten(t, s.Log())
	next := session.New("next", session.Limits{})
	next.Keep(s.Log(), session.DurabilityInterval)
	next.Describe(&session.Profile{ClientID: "next"})
	next.End()
	waitWritten(t, s.Log())
}

// client is one that acknowledges everything at once.
type client struct {
	s    *session.Session
	wake chan struct{}
	got  []string
}

func connected(s *session.Session) *client {
	c := &client{s: s, wake: make(chan struct{}, 1)}
	s.Attach(session.Attachment{Version: mqtt.V5, ReceiveMaximum: 20, Wake: func() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}})
	return c
}

// take takes messages until there are n.
func (c *client) take(t *testing.T, n int) {
	t.Helper()
	timeout := time.After(patience)
	for len(c.got) < n {
		select {
		case <-c.wake:
		case <-timeout:
			t.Fatalf("%d of %d messages came", len(c.got), n)
		}
		for {
			out := c.s.Next(nil, 7, time.Now(), nil)
			if len(out) == 0 {
				break
			}
			for _, o := range out {
				c.got = append(c.got, string(o.Delivery.Message.Payload))
				c.s.Puback(o.ID)
			}
		}
	}
}

// What is beyond the memory of a queue is read from the disk when its turn comes,
// in order, while more comes in.
func TestSpills(t *testing.T) {
	s := opened(t, vfs.NewMem(), "sessions")
	defer running(t, s)()
	var memory, disk admission.Budget
	c := narrowed(s, 10, session.KeptLimits{Disk: &disk})
	c.SetLimits(session.Limits{Waiting: memory.Used(), Kept: &session.KeptLimits{MemoryMessages: 10, Disk: &disk}})
	const n = 5000
	enqueue(c, 0, n)
	waitSettled(t, s)
	inMemory, onDisk := memory.Used().Load(), disk.Used().Load()
	if inMemory > 20*5 {
		t.Errorf("%d bytes are in memory", inMemory)
	}
	if messages, bytes := c.QueueLen(); messages != n || int64(bytes) != inMemory+onDisk {
		t.Errorf("%d messages of %d bytes wait, %d in memory, %d on disk", messages, bytes, inMemory, onDisk)
	}
	var publishing sync.WaitGroup
	publishing.Go(func() { enqueue(c, n, n) })
	r := connected(c)
	r.take(t, 2*n)
	publishing.Wait()
	numbered(t, r.got, 2*n)
	if messages, bytes := c.QueueLen(); messages != 0 || bytes != 0 || disk.Used().Load() != 0 {
		t.Errorf("%d messages of %d bytes wait, %d on disk", messages, bytes, disk.Used().Load())
	}
}

// A full queue does what is configured.
func TestFull(t *testing.T) {
	for _, tt := range []struct {
		full    session.Full
		origin  mqtt.Origin
		outcome session.Outcome
		drops   int
		first   string
		waits   int
	}{
		{session.EndSession, mqtt.FromClient, session.Overflowed, 0, "0", 100},
		{session.RefuseMessage, mqtt.FromClient, session.Queued, 0, "0", 101}, // who asked for room was told that there is none
		{session.RefuseMessage, mqtt.FromWill, session.DroppedNew, 0, "0", 100},
		{session.DropNewestKept, mqtt.FromClient, session.DroppedNew, 0, "0", 100},
		{session.DropOldestKept, mqtt.FromClient, session.DroppedOldest, 1, "1", 100},
	} {
		t.Run(fmt.Sprint(tt.full, " ", tt.origin), func(t *testing.T) {
			s := opened(t, vfs.NewMem(), "sessions")
			defer running(t, s)()
			c := narrowed(s, 4, session.KeptLimits{Messages: 100, Full: tt.full})
			enqueue(c, 0, 99)
			if !c.HasRoom(3) {
				t.Error("there is no room for the last message")
			}
			enqueue(c, 99, 1)
			if c.HasRoom(3) {
				t.Error("there is room for more")
			}
			waitSettled(t, s)
			m := &mqtt.Message{Topic: "t", Payload: []byte("100"), QoS: 1, Origin: tt.origin, Created: time.Now()}
			outcome, drops := c.Enqueue(mqtt.Delivery{Message: m, QoS: 1}, m.Created)
			if messages, _ := c.QueueLen(); outcome != tt.outcome || len(drops) != tt.drops || messages != tt.waits {
				t.Errorf("%v, %d drops, %d wait", outcome, len(drops), messages)
			}
			r := connected(c)
			r.take(t, tt.waits)
			if r.got[0] != tt.first {
				t.Errorf("the first is %s", r.got[0])
			}
		})
	}
}

// Oldest messages are dropped also where they are only on disk.
func TestDropOldestOnDisk(t *testing.T) {
	s := opened(t, vfs.NewMem(), "sessions")
	defer running(t, s)()
	c := narrowed(s, 4, session.KeptLimits{Messages: 20, Full: session.DropOldestKept})
	for i := range 100 {
		enqueue(c, i, 1)
		waitSettled(t, s)
	}
	r := connected(c)
	r.take(t, 20)
	if r.got[0] != "80" || r.got[19] != "99" {
		t.Errorf("%v", r.got)
	}
}

// While the budget of the disk is used up, those have room who need none of it.
func TestDiskBudget(t *testing.T) {
	s := opened(t, vfs.NewMem(), "sessions")
	defer running(t, s)()
	var disk admission.Budget
	disk.SetLimit(1000)
	c := narrowed(s, 4, session.KeptLimits{Disk: &disk})
	enqueue(c, 0, 4)
	disk.Used().Add(1000)
	if c.HasRoom(3) {
		t.Error("there is room on disk")
	}
	r := connected(c)
	r.take(t, 4)
	if !c.HasRoom(3) {
		t.Error("there is no room in memory")
	}
}

// While memory is short, few messages of each queue stay there.
func TestMemoryBudget(t *testing.T) {
	s := opened(t, vfs.NewMem(), "sessions")
	defer running(t, s)()
	var memory admission.Budget
	memory.SetLimit(1)
	memory.Used().Add(1)
	c := narrowed(s, 1000, session.KeptLimits{Memory: &memory, MemoryBytes: 100})
	c.SetLimits(session.Limits{Waiting: memory.Used(), Kept: &session.KeptLimits{Memory: &memory, MemoryMessages: 100}})
	enqueue(c, 0, 1000)
	waitSettled(t, s)
	if used := memory.Used().Load(); used > 80*5 {
		t.Errorf("%d bytes are in memory", used)
	}
	r := connected(c)
	r.take(t, 1000)
	numbered(t, r.got, 1000)
}

func expiring(c *session.Session, from, n int, expiry uint32, created time.Time) {
	for i := range n {
		m := &mqtt.Message{
			Topic: "t", Payload: []byte(fmt.Sprint(from + i)), QoS: 1, Created: created,
			Properties: &mqtt.Properties{HasExpiry: true, Expiry: expiry},
		}
		c.Enqueue(mqtt.Delivery{Message: m, QoS: 1}, created)
	}
}

// What expires while it is only on disk is dropped, and never sent.
func TestExpiresOnDisk(t *testing.T) {
	for _, sweeps := range []bool{true, false} {
		t.Run(fmt.Sprint(sweeps), func(t *testing.T) {
			s := opened(t, vfs.NewMem(), "sessions")
			defer running(t, s)()
			c := narrowed(s, 4, session.KeptLimits{})
			created := time.Now().Add(-time.Hour)
			enqueue(c, 0, 50)
			expiring(c, 1000, 50, 60, created)
			enqueue(c, 50, 50)
			waitSettled(t, s)
			if sweeps {
				if early := c.Expire(created.Add(59 * time.Second)); len(early) > 0 {
					t.Errorf("%d messages expired early", len(early))
				}
				gone := c.Expire(time.Now())
				if messages, _ := c.QueueLen(); len(gone) != 50 || messages != 100 {
					t.Fatalf("%d messages expired, %d wait", len(gone), messages)
				}
				if again := c.Expire(time.Now()); len(again) > 0 {
					t.Errorf("%d messages expired twice", len(again))
				}
			}
			r := connected(c)
			r.take(t, 100)
			numbered(t, r.got, 100)
			waitSettled(t, s)
			if messages, bytes := c.QueueLen(); messages != 0 || bytes != 0 {
				t.Errorf("%d messages of %d bytes wait", messages, bytes)
			}
		})
	}
}

// What a share group chose the session for is handed over, from the disk too.
func TestDrainsDisk(t *testing.T) {
	s := opened(t, vfs.NewMem(), "sessions")
	defer running(t, s)()
	c := narrowed(s, 4, session.KeptLimits{})
	var want []string
	for i := range 3000 {
		m := &mqtt.Message{Topic: "t", Payload: []byte(fmt.Sprint(i)), QoS: 1, Created: time.Now()}
		d := mqtt.Delivery{Message: m, QoS: 1}
		if i%3 == 0 {
			d.Via = &mqtt.Via{Group: "g/t"}
			want = append(want, fmt.Sprint(i))
		}
		c.Enqueue(d, m.Created)
	}
	waitSettled(t, s)
	var got []string
	err := c.Drain(func(list []mqtt.Delivery) {
		for _, d := range list {
			if d.Group() != "" {
				got = append(got, string(d.Message.Payload))
			}
		}
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v: %d messages are handed over of %d", err, len(got), len(want))
	}
	c.End()
	waitSettled(t, s)
	if l, err := load(s.DB); err != nil || len(l.sessions) != 0 {
		t.Errorf("%v: %d sessions are left", err, len(l.sessions))
	}
}

// A message that somebody waits for is the same when it is back.
func TestWatched(t *testing.T) {
	s := opened(t, vfs.NewMem(), "sessions")
	defer running(t, s)()
	c := narrowed(s, 2, session.KeptLimits{})
	enqueue(c, 0, 10)
	m := &mqtt.Message{Topic: "t", Payload: []byte("10"), QoS: 1, Created: time.Now()}
	c.Enqueue(mqtt.Delivery{Message: m, QoS: 1, Watched: true}, m.Created)
	enqueue(c, 11, 10)
	waitSettled(t, s)
	c.Attach(session.Attachment{Version: mqtt.V5})
	out := c.Next(nil, 100, time.Now(), nil)
	if len(out) != 21 || out[10].Delivery.Message != m {
		t.Errorf("%d messages; the one that is waited for is another", len(out))
	}
}

// A queue that can't be read waits until it can.
func TestReadsFail(t *testing.T) {
	var broken atomic.Bool
	faulty := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return errors.New("input/output error")
		}
		return nil
	}))
	s := opened(t, faulty, "sessions")
	defer running(t, s)()
	c := narrowed(s, 10, session.KeptLimits{})
	enqueue(c, 0, 500)
	waitSettled(t, s)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	c.Attach(session.Attachment{Version: mqtt.V5})
	if n := len(c.Next(nil, 500, time.Now(), nil)); n != 10 {
		t.Fatalf("%d messages are read", n)
	}
	c.Detach()
	broken.Store(false)
	r := connected(c)
	r.take(t, 500)
	numbered(t, r.got, 500)
}

// A store of format 1 is taken over as it is.
func TestUpgrade(t *testing.T) {
	disk := vfs.NewMem()
	s := opened(t, disk, "sessions")
	stop := running(t, s)
	var list []*session.Session
	for _, id := range []string{"a", "b", "c"} {
		list = append(list, filled(s, id, 0, 200))
	}
	for i := range 100 {
		m := &mqtt.Message{Topic: "t", Payload: []byte(fmt.Sprint(200 + i)), QoS: 1, Created: time.Now()}
		d := mqtt.Delivery{Message: m, QoS: 1, Shared: s.Log().Number()}
		for _, c := range list {
			c.Enqueue(d, m.Created)
		}
	}
	waitSettled(t, s)
	b := s.NewBatch()
	_ = b.DeleteRange([]byte{keyRefs}, []byte{keyRefs + 1}, nil)
	_ = b.Set(messageKey(nil, s.Log().Number()), appendMessage(nil, &mqtt.Message{Topic: "nobody's"}), nil)
	for n := range uint64(4) {
		_ = b.Delete(sessionKey(nil, n, kindTotals), nil)
	}
	_ = b.Set(formatKey(), binary.AppendUvarint(nil, 1), nil)
	if err := b.Commit(pebble.Sync); err != nil {
		t.Fatal(err)
	}
	stop()
	s = opened(t, disk, "sessions")
	defer func() { _ = s.Close() }()
	if s.Aside() != "" {
		t.Fatal("it is taken for corrupt")
	}
	l, err := load(s.DB)
	if err != nil {
		t.Fatal(err)
	}
	r, err := verify(s.DB, l)
	if err != nil || r.Messages != 900 || r.Shared != 100 || r.Unused != 0 {
		t.Errorf("%v: %+v", err, r)
	}
}
