package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	paho3 "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket/buckettest"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

// seeds is how many retained messages are moved: 10,000, or as many as
// GATEHOUSE_TEST_RETAINED says, 100000 for example.
func seeds(t *testing.T) int {
	if text := os.Getenv("GATEHOUSE_TEST_RETAINED"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 10_000
}

// newMigrationSite is a site with both stores, retainjson in use.
func newMigrationSite(t *testing.T) *site {
	t.Helper()
	nats := buckettest.Start(t)
	return newSite(t, "retained: {store: retainjson}\nplugins:\n  retainjson: {config: {fsync: never}}\n"+
		"  retainnats: {config: {urls: ['"+nats.URL()+"']}}\n", "retainjson", "retainnats")
}

// seed publishes the messages that nobody touches later, and returns them.
func (p *proc) seed(n int) map[string]string {
	p.t.Helper()
	all := make(map[string]string, n)
	c := p.connect3("seed")
	tokens := make([]paho3.Token, 0, 1000)
	for i := range n {
		topic, payload := fmt.Sprintf("seed/%d", i), fmt.Sprint("s", i)
		all[topic] = payload
		tokens = append(tokens, c.Publish(topic, 1, true, payload))
		if len(tokens) < cap(tokens) && i+1 < n {
			continue
		}
		for _, tk := range tokens {
			if !tk.WaitTimeout(patience) || tk.Error() != nil {
				p.t.Fatalf("seed: %v", tk.Error())
			}
		}
		tokens = tokens[:0]
	}
	c.Disconnect(100)
	return all
}

// countSeeds subscribes anew and wants all seeds, once each, retained.
func (p *proc) countSeeds(id string, n int) {
	c, err := p.dial3(id, "", "")
	if err != nil {
		p.t.Error(err)
		return
	}
	defer c.Disconnect(0)
	if tk := c.Subscribe("seed/#", 0, nil); !tk.WaitTimeout(patience) || tk.Error() != nil {
		p.t.Errorf("subscribe: %v", tk.Error())
		return
	}
	got := make(map[string]string, n)
	for len(got) < n {
		select {
		case m := <-c.got:
			if _, twice := got[m.topic]; twice || !m.retained || m.payload != "s"+strings.TrimPrefix(m.topic, "seed/") {
				p.t.Errorf("a subscriber got %+v (twice: %v)", m, twice)
				return
			}
			got[m.topic] = m.payload
		case <-time.After(patience):
			p.t.Errorf("a subscriber got %d of %d messages", len(got), n)
			return
		}
	}
}

// writer changes topics of its own until it is ended, and knows what was
// acknowledged.
type writer struct {
	acked   map[string]string // by topic; "" is removed
	changes int
	again   int // published again, on a new connection
}

func (p *proc) write(id int, end <-chan struct{}) *writer {
	w := &writer{acked: map[string]string{}}
	name := fmt.Sprint("writer", id)
	c, err := p.dial3(name, "", "")
	if err != nil {
		p.t.Error(err)
		return w
	}
	r := rand.New(rand.NewPCG(uint64(id), 1))
	for {
		select {
		case <-end:
			return w
		default:
		}
		topic, payload := fmt.Sprintf("w/%d/%d", id, r.IntN(40)), fmt.Sprint(w.changes)
		if r.IntN(3) == 0 {
			payload = ""
		}
		// A store that does not answer in time, as on a machine that is too
		// busy, costs an MQTT 3 client its connection: it sends again.
		for tk := c.Publish(topic, 1, true, payload); !tk.WaitTimeout(patience) || tk.Error() != nil; tk = c.Publish(topic, 1, true, payload) {
			if w.again++; w.again > 20 {
				p.t.Errorf("%s: changes are not acknowledged: %v", name, tk.Error())
				return w
			}
			if c, err = p.dial3(name, "", ""); err != nil {
				p.t.Error(err)
				return w
			}
		}
		w.changes++
		w.acked[topic] = payload
	}
}

// retained is everything that a new subscriber gets.
func (p *proc) retained(id string, n int) map[string]string {
	p.t.Helper()
	c := p.connect3(id)
	defer c.Disconnect(0)
	c.subscribe("#", 0)
	got := make(map[string]string, n)
	for {
		// The end is marked by a message that is published live.
		if len(got) == n {
			p.publishEnd(id)
		}
		select {
		case m := <-c.got:
			if m.topic == "end" {
				return got
			}
			got[m.topic] = m.payload
		case <-time.After(patience):
			p.t.Fatalf("a subscriber got %d of %d messages", len(got), n)
		}
	}
}

func (p *proc) publishEnd(id string) {
	p.t.Helper()
	c := p.connect3(id + "-end")
	if tk := c.Publish("end", 1, false, ""); !tk.WaitTimeout(patience) || tk.Error() != nil {
		p.t.Fatal(tk.Error())
	}
	c.Disconnect(100)
}

// migrate runs the command.
func (p *proc) migrate(args ...string) (status int, out string) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	begin := time.Now()
	status = run(append([]string{"retained", "migrate", "--run-dir", p.path("run")}, args...), strings.NewReader(""), &stdout, &stderr)
	p.t.Logf("broker retained migrate %s: %d after %v: %s%s", strings.Join(args, " "), status, time.Since(begin), &stdout, &stderr)
	return status, stdout.String() + stderr.String()
}

// undisturbed has clients write, delete and subscribe while f runs. retained is
// what is retained before, with n seeds, and is what has to be retained then.
func (p *proc) undisturbed(n int, retained map[string]string, f func()) {
	p.t.Helper()
	end := make(chan struct{})
	var busy sync.WaitGroup
	writers := make([]*writer, 3)
	for i := range writers {
		busy.Go(func() { writers[i] = p.write(i, end) })
	}
	busy.Go(func() {
		for i := 0; ; i++ {
			p.countSeeds(fmt.Sprint("reader", i), n)
			select {
			case <-end:
				return
			default:
			}
		}
	})
	f()
	close(end)
	busy.Wait()
	changes, again := 0, 0
	for _, w := range writers {
		changes, again = changes+w.changes, again+w.again
		for topic, payload := range w.acked {
			retained[topic] = payload
			if payload == "" {
				delete(retained, topic)
			}
		}
	}
	p.t.Logf("%d changes meanwhile, %d published again", changes, again)
}

func (p *proc) wantRetained(id string, want map[string]string) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.retained(id, len(want))); diff != "" {
		p.t.Errorf("retained (-want +got):\n%s", diff)
	}
}

// TestMigrate moves retained messages to another store and back while clients
// write, delete and subscribe. Each time the broker is then killed: what it has
// after the next start is what was acknowledged, no more and no less.
func TestMigrate(t *testing.T) {
	n := seeds(t)
	s := newMigrationSite(t)
	p := s.start()
	want := p.seed(n)
	p.undisturbed(n, want, func() {
		if status, out := p.migrate("retainjson", "retainnats"); status != 0 || !strings.Contains(out, "retained: {store: retainnats}") {
			t.Errorf("status %d: %s", status, out)
		}
	})
	p.wantRetained("first", want)
	p.kill()

	// The configuration still says retainjson, which has what was before.
	p = s.start()
	p.waitLog("retained messages were moved to another store than the configuration says")
	p.wantRetained("second", want)
	if status, out := p.migrate("retainjson", "retainnats"); status != 1 || !strings.Contains(out, "not in retainjson, but in retainnats") {
		t.Errorf("status %d: %s", status, out)
	}
	p.undisturbed(n, want, func() {
		if status, out := p.migrate("retainnats", "retainjson"); status != 0 || strings.Contains(out, "configuration") {
			t.Errorf("status %d: %s", status, out)
		}
	})
	p.kill()

	p = s.start()
	p.wantRetained("third", want)
	p.stop()
}

// TestMigrateKill kills one store in the middle of a move. The move waits for
// it, or is given up; nothing is lost either way.
func TestMigrateKill(t *testing.T) {
	for _, victim := range []string{"retainjson", "retainnats"} {
		t.Run(victim, func(t *testing.T) {
			const n = 5000
			s := newMigrationSite(t)
			p := s.start()
			want := p.seed(n)
			moved := false
			p.undisturbed(n, want, func() {
				moved = p.migrateAndKill(victim)
				p.waitPlugin(victim, "ready again", func(a *adminv1.Plugin) bool {
					return a.GetState() == adminv1.PluginState_PLUGIN_STATE_READY && a.GetRestarts() > 0
				})
			})
			t.Logf("moved: %v", moved)
			p.wantRetained("first", want)
			p.kill()
			p = s.start()
			p.wantRetained("second", want)
			p.stop()
		})
	}
}

// migrateAndKill kills a plugin as soon as the first messages were copied, and
// reports whether the move came to its end.
func (p *proc) migrateAndKill(victim string) bool {
	p.t.Helper()
	f := adminFlags{RunDir: p.path("run")}
	hc, err := f.httpClient()
	if err != nil {
		p.t.Fatal(err)
	}
	pid := int(p.plugin(victim).GetPid())
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	client := adminv1connect.NewRetainedServiceClient(hc, "http://broker")
	stream, err := client.Migrate(ctx, connect.NewRequest(&adminv1.MigrateRequest{From: "retainjson", To: "retainnats"}))
	if err != nil {
		p.t.Fatal(err)
	}
	defer stream.Close()
	for first := true; stream.Receive(); first = false {
		if first {
			if victim, err := os.FindProcess(pid); err != nil || victim.Kill() != nil {
				p.t.Errorf("plugin %d can't be killed: %v", pid, err)
			}
		}
		if stream.Msg().GetRevision() > 0 {
			return true
		}
	}
	p.t.Logf("the move was given up: %v", stream.Err())
	return false
}
