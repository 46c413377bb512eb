package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// smallDisk mounts a file system of its own for the data of a site, with a file
// in it that takes two thirds of the room. Who may not mount has TestWritesFail of
// core/store, whose file system fails on demand.
func (s *site) smallDisk(megabytes int) (free func()) {
	s.t.Helper()
	data := s.path("data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		s.t.Fatal(err)
	}
	err := syscall.Mount("none", data, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", megabytes))
	if errors.Is(err, syscall.EPERM) {
		s.t.Skip("only root may mount")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
	ballast := s.path("data/ballast")
	if err := os.WriteFile(ballast, make([]byte, megabytes<<20/3*2), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			s.t.Error(err)
		}
	}
}

// filler publishes to "q/t" what has to be kept, one message after the other.
type filler struct {
	acked []string // in order
	bad   error
	sent  atomic.Int64
	full  atomic.Bool // the next messages are small
	stop  atomic.Bool
	ended chan struct{}
}

func (f *filler) run(c *brokertest.Client) {
	defer close(f.ended)
	load := strings.Repeat("x", 64<<10)
	for n := 0; !f.stop.Load(); n++ {
		text := fmt.Sprintf("%06d", n)
		m := mqtt.Message{Topic: "q/t", Payload: []byte(text + load), QoS: mqtt.QoS(n%2 + 1)} //nolint:gosec // 1 or 2
		if f.full.Load() {
			m.Payload = []byte(text)
		}
		switch code := acknowledged(c, m); {
		case !code.Failed():
			f.acked = append(f.acked, text)
			f.sent.Add(1)
		case code != mqtt.QuotaExceeded || n > 4000:
			f.bad = fmt.Errorf("message %d: %v", n, code)
			return
		}
	}
}

// drain takes up a session and checks that it has all of a list, in order, in the
// first bytes of its messages.
func drain(t *testing.T, b *brokertest.Broker, id string, list []string) {
	t.Helper()
	c, ack := b.TryConnect(id, brokertest.Resume)
	if !ack.SessionPresent {
		t.Fatal("the session is gone")
	}
	for len(list) > 0 {
		switch p := c.Next().(type) {
		case *packet.Publish:
			switch got := string(p.Message.Payload[:6]); {
			case got == list[0]:
				list = list[1:]
			case got > list[0]:
				t.Fatalf("%s was acknowledged, and %s comes in its place", list[0], got)
			}
			kind := packet.PUBACK
			if p.Message.QoS == mqtt.ExactlyOnce {
				kind = packet.PUBREC
			}
			c.Send(&packet.Ack{Kind: kind, ID: p.ID})
		case *packet.Ack:
			c.Send(&packet.Ack{Kind: packet.PUBCOMP, ID: p.ID})
		default:
			t.Fatalf("%s was acknowledged, and %v comes in its place", list[0], p)
		}
	}
}

// On a disk that is full, what would have to be kept is refused and said why, and
// all else goes on; with room again the same broker goes on by itself. Nothing
// that was acknowledged is lost, also if it is killed then.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := keepingSite(t, "metrics: {url: 'http://127.0.0.1:0'}\nlimits: {queue_messages: 100000, queue_bytes: 512MiB}\n")
	free := s.smallDisk(96)
	p := s.start()
	ready := func() (int, string) { return get(t, http.DefaultClient, p.watched()+"/readyz") }
	b := brokertest.At(t, p.addr)
	sub := b.Connect("sub", brokertest.Resume)
	sub.Subscribe(2, "q/#")
	sub.Send(&packet.Disconnect{})
	sub.ExpectClosed()
	live := b.Connect("live")
	live.Subscribe(1, "live/#")
	f := &filler{ended: make(chan struct{})}
	go f.run(b.Connect("filler"))
	p.waitLog("sessions can't be written")
	t.Logf("the disk is full after %d messages", f.sent.Load())
	f.full.Store(true)

	if status, why := ready(); status != http.StatusServiceUnavailable || !strings.Contains(why, "no space left") {
		t.Errorf("/readyz: %d %s", status, why)
	}
	pub := b.Connect("pub")
	for _, m := range []mqtt.Message{
		{Topic: "q/t", Payload: []byte("refused"), QoS: 1},
		{Topic: "q/t", Payload: []byte("refused"), QoS: 2},
		{Topic: "retained", Payload: []byte("refused"), QoS: 1, Retain: true},
	} {
		if code := acknowledged(pub, m); code != mqtt.QuotaExceeded {
			t.Errorf("%s with QoS %d: %v", m.Topic, m.QoS, code)
		}
	}
	if code := acknowledged(pub, mqtt.Message{Topic: "live/1", Payload: []byte("x"), QoS: 1}); code != mqtt.Success {
		t.Errorf("for a session that is not kept: %v", code)
	}
	live.Send(&packet.Ack{Kind: packet.PUBACK, ID: live.ExpectMessage("live/1", "x").ID})
	pub.Send(&packet.Publish{Message: mqtt.Message{Topic: "live/0", Payload: []byte("x")}})
	live.ExpectMessage("live/0", "x")
	pub.Send(&packet.Publish{Message: mqtt.Message{Topic: "live/retained", Payload: []byte("later"), Retain: true}})
	live.ExpectMessage("live/retained", "later")

	free()
	p.waitLog("sessions are written again")
	before := f.sent.Load()
	for late := time.After(patience); f.sent.Load() < before+50; {
		select {
		case <-late:
			t.Fatal("nothing is taken on a disk with room")
		case <-time.After(time.Millisecond):
		}
	}
	f.stop.Store(true)
	<-f.ended
	if f.bad != nil {
		t.Error(f.bad)
	}
	if status, why := ready(); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, why)
	}
	if code := acknowledged(pub, mqtt.Message{Topic: "retained", Payload: []byte("now"), QoS: 1, Retain: true}); code.Failed() {
		t.Errorf("a retained message: %v", code)
	}
	p.kill()

	p = s.start()
	p.wantRetained("reader", map[string]string{"retained": "now", "live/retained": "later"})
	drain(t, brokertest.At(t, p.addr), "sub", f.acked)
}

// forgiving is a test whose client may lose its broker: that ends its goroutine.
type forgiving struct{ testing.TB }

// Fatalf ends the goroutine.
func (forgiving) Fatalf(string, ...any) { runtime.Goexit() }

// A broker that is started on a full disk, and killed there, takes nothing for
// corrupt and loses nothing: it serves what need not be kept, refuses the rest and
// says why, and with room again goes on by itself and hands out what is there.
func TestStartOnFullDisk(t *testing.T) {
	t.Parallel()
	s := keepingSite(t, "metrics: {url: 'http://127.0.0.1:0'}\nlimits: {queue_messages: 100000, queue_bytes: 512MiB}\n")
	free := s.smallDisk(96)
	p := s.start()
	b := brokertest.At(t, p.addr)
	sub := b.Connect("sub", brokertest.Resume)
	sub.Subscribe(2, "q/#")
	sub.Send(&packet.Disconnect{})
	sub.ExpectClosed()
	f := &filler{ended: make(chan struct{})}
	go f.run(b.Connect("filler").In(forgiving{t}))
	p.waitLog("sessions can't be written")
	f.stop.Store(true)
	p.kill()
	<-f.ended
	list := make([]string, f.sent.Load())
	for i := range list {
		list[i] = fmt.Sprintf("%06d", i)
	}
	for range 2 {
		p = s.start()
		p.waitLog("no space left")
		if status, why := get(t, http.DefaultClient, p.watched()+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(why, "no space left") {
			t.Errorf("/readyz: %d %s", status, why)
		}
		c := brokertest.At(t, p.addr).Connect("pub")
		if code := acknowledged(c, mqtt.Message{Topic: "q/t", Payload: []byte("refused"), QoS: 1}); code != mqtt.QuotaExceeded {
			t.Errorf("with QoS 1: %v", code)
		}
		c.Subscribe(0, "live/#")
		c.Send(&packet.Publish{Message: mqtt.Message{Topic: "live/0", Payload: []byte("x")}})
		c.ExpectMessage("live/0", "x")
		p.kill()
	}
	if aside, _ := filepath.Glob(s.path("data/sessions.corrupt-*")); len(aside) > 0 {
		t.Errorf("%v was put aside", aside)
	}
	p = s.start()
	p.waitLog("no space left")
	free()
	p.waitLog("sessions are written again")
	if status, why := get(t, http.DefaultClient, p.watched()+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, why)
	}
	if code := acknowledged(brokertest.At(t, p.addr).Connect("pub"), mqtt.Message{Topic: "q/t", Payload: []byte("999999"), QoS: 1}); code.Failed() {
		t.Errorf("with room again: %v", code)
	}
	drain(t, brokertest.At(t, p.addr), "sub", append(list, "999999"))
}

// A broker that is told to end on a full disk, with which it was started, ends.
func TestStopOnFullDisk(t *testing.T) {
	t.Parallel()
	s := keepingSite(t, "limits: {queue_messages: 100000, queue_bytes: 512MiB}\n")
	s.smallDisk(96)
	p := s.start()
	b := brokertest.At(t, p.addr)
	sub := b.Connect("sub", brokertest.Resume)
	sub.Subscribe(2, "q/#")
	f := &filler{ended: make(chan struct{})}
	go f.run(b.Connect("filler").In(forgiving{t}))
	p.waitLog("sessions can't be written")
	f.stop.Store(true)
	p.kill()
	<-f.ended
	p = s.start()
	p.waitLog("no space left")
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Error("it does not end")
	}
}
