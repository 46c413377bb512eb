package bucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket/buckettest"
)

// long is how long a test waits for something that will happen.
const long = 30 * time.Second

func config(s *buckettest.Server) Config {
	c := DefaultConfig()
	c.URLs, c.Bucket = []string{s.URL()}, "b"
	c.Timeout = 2 * time.Second
	return c
}

func open(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Config: c, Instance: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(topic, payload string, rev uint64) pluginapi.Change {
	return pluginapi.Change{Op: pluginapi.Put, Topic: topic, Revision: rev, Message: plugintest.Message(topic, payload)}
}

func del(topic string, rev uint64) pluginapi.Change {
	return pluginapi.Change{Op: pluginapi.Delete, Topic: topic, Revision: rev}
}

func apply(t *testing.T, s *Store, changes ...pluginapi.Change) uint64 {
	t.Helper()
	rev, err := s.Apply(t.Context(), changes)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return rev
}

func load(t *testing.T, s *Store) map[string]string {
	t.Helper()
	got := make(map[string]string)
	err := s.Load(t.Context(), func(r pluginapi.Record) error {
		got[r.Message.Topic] = fmt.Sprintf("%s@%d", r.Message.Payload, r.Revision)
		return nil
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return got
}

func want(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, load(t, s)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// eventually waits until done says yes.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestServerGoesAndComes stops the server, wants writes to fail soon and with a
// reason, and everything to be there when it is back.
func TestServerGoesAndComes(t *testing.T) {
	nats := buckettest.Start(t)
	s := open(t, config(nats))
	apply(t, s, put("a", "1", 1), put("b", "2", 2))
	if err := s.Problems(); err != nil {
		t.Errorf("healthy store has problems: %v", err)
	}

	nats.Stop()
	eventually(t, "the loss of the connection", func() bool { return s.Problems() != nil })
	if err := s.Problems(); !strings.Contains(err.Error(), nats.URL()) || !strings.Contains(err.Error(), "no connection to NATS") {
		t.Errorf("problems: %v", err)
	}
	begin := time.Now()
	_, err := s.Apply(t.Context(), []pluginapi.Change{put("c", "3", 3)})
	t.Logf("Apply failed after %v: %v", time.Since(begin), err)
	if err == nil || !strings.Contains(err.Error(), "is away") {
		t.Fatalf("Apply without a server: %v", err)
	}

	nats.Again()
	eventually(t, "a change that is stored", func() bool {
		_, err = s.Apply(t.Context(), []pluginapi.Change{put("c", "3", 3), del("a", 4)})
		return err == nil
	})
	want(t, s, map[string]string{"b": "2@2", "c": "3@3"})
	if err := s.Problems(); err != nil {
		t.Errorf("store has problems after the server came back: %v", err)
	}
	if n := s.Numbers(); n.Reconnects != 1 || !n.Connected || n.Failures == 0 {
		t.Errorf("numbers: %+v", n)
	}
}

func TestNoServer(t *testing.T) {
	nats := buckettest.Start(t)
	nats.Stop()
	c := config(nats)
	c.URLs[0] = strings.Replace(c.URLs[0], "nats://", "nats://user:secret@", 1)
	_, err := Open(t.Context(), Options{Config: c})
	if err == nil || !strings.Contains(err.Error(), "can't be reached") || strings.Contains(err.Error(), "secret") {
		t.Errorf("Open: %v", err)
	}
}

func TestNoJetStream(t *testing.T) {
	nats := buckettest.Start(t, func(o *server.Options) { o.JetStream = false })
	_, err := Open(t.Context(), Options{Config: config(nats)})
	if err == nil || !strings.Contains(err.Error(), "has no JetStream") {
		t.Errorf("Open: %v", err)
	}
}

// TestTooLarge wants a message that is too large refused with the reason, and
// nothing of its batch stored.
func TestTooLarge(t *testing.T) {
	nats := buckettest.Start(t, func(o *server.Options) { o.MaxPayload = 8 << 10 })
	s := open(t, config(nats))
	fits := s.MaxMessageBytes() - len("a")
	apply(t, s, put("a", strings.Repeat("x", fits), 1))
	_, err := s.Apply(t.Context(), []pluginapi.Change{put("b", "2", 2), put("c", strings.Repeat("x", 8<<10), 3)})
	if err == nil || !strings.Contains(err.Error(), `topic "c"`) || !strings.Contains(err.Error(), "raise max_payload") {
		t.Errorf("Apply: %v", err)
	}
	want(t, s, map[string]string{"a": strings.Repeat("x", fits) + "@1"})
	if err := s.Problems(); err == nil {
		t.Error("store has no problems after a failure")
	}
	apply(t, s, put("b", "2", 2))
	if err := s.Problems(); err != nil {
		t.Errorf("problems: %v", err)
	}
}

func TestBucketIsFull(t *testing.T) {
	nats := buckettest.Start(t)
	c := config(nats)
	c.MaxBytes = 16 << 10
	s := open(t, c)
	var err error
	rev := uint64(0)
	for err == nil && rev < 1000 {
		rev++
		_, err = s.Apply(t.Context(), []pluginapi.Change{put(fmt.Sprintf("t/%d", rev), strings.Repeat("x", 1000), rev)})
	}
	if err == nil || !strings.Contains(err.Error(), "maximum bytes") {
		t.Fatalf("Apply to a full bucket: %v", err)
	}
	// The same bucket takes more when it is allowed to be larger.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.MaxBytes = 1 << 20
	s = open(t, c)
	apply(t, s, put(fmt.Sprintf("t/%d", rev), strings.Repeat("x", 1000), rev))
	if got := len(load(t, s)); got != int(rev) {
		t.Errorf("%d messages, want %d", got, rev)
	}
}

// TestTakenOver has a second writer open the bucket: the first writes no more,
// and says why.
func TestTakenOver(t *testing.T) {
	nats := buckettest.Start(t)
	first := open(t, config(nats))
	apply(t, first, put("a", "1", 1))
	second, err := Open(t.Context(), Options{Config: config(nats), Instance: "the second"})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, second, put("a", "2", 2))
	for range 2 {
		_, err := first.Apply(t.Context(), []pluginapi.Change{put("a", "stale", 3)})
		if !errors.Is(err, errTaken) || !strings.Contains(err.Error(), "the second") {
			t.Errorf("Apply of the first writer: %v", err)
		}
	}
	if err := first.Problems(); err == nil {
		t.Error("the first writer has no problems")
	}
	want(t, second, map[string]string{"a": "2@2"})
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAnswerLost cuts an Apply off at any moment: what it stored is known
// before the next, and the same changes may come again.
func TestAnswerLost(t *testing.T) {
	nats := buckettest.Start(t)
	s := open(t, config(nats))
	state := map[string]string{}
	rev, cut := uint64(0), 0
	for round := range 60 {
		var batch []pluginapi.Change
		for i := range 1 + round%7 {
			rev++
			topic := fmt.Sprintf("t/%d", i)
			if rev%5 == 0 {
				batch = append(batch, del(topic, rev))
				delete(state, topic)
				continue
			}
			batch = append(batch, put(topic, "x", rev))
			state[topic] = fmt.Sprintf("x@%d", rev)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(round)*20*time.Microsecond)
		if _, err := s.Apply(ctx, batch); err != nil {
			cut++
			apply(t, s, batch...)
		}
		cancel()
		want(t, s, state)
	}
	t.Logf("%d of 60 were cut off", cut)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, open(t, config(nats)), state)
}

// TestLargeBatch stores more than a server takes together.
func TestLargeBatch(t *testing.T) {
	nats := buckettest.Start(t)
	s := open(t, config(nats))
	model := map[string]string{}
	batch := []pluginapi.Change{put("before", "0", 1), {Op: pluginapi.Clear, Revision: 2}}
	for i := range 2500 {
		rev := uint64(i + 3)
		batch = append(batch, put(fmt.Sprintf("t/%d", i), "x", rev))
		model[fmt.Sprintf("t/%d", i)] = fmt.Sprintf("x@%d", rev)
	}
	apply(t, s, put("old", "0", 1))
	if rev := apply(t, s, batch...); rev != 2502 {
		t.Errorf("revision %d, want 2502", rev)
	}
	want(t, s, model)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, open(t, config(nats)), model)
}

// TestForeignKeys puts into the bucket what is no retained message.
func TestForeignKeys(t *testing.T) {
	nats := buckettest.Start(t)
	s := open(t, config(nats))
	apply(t, s, put("a", "1", 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	kv := keyValue(t, nats)
	if _, err := kv.PutString(t.Context(), "t.b", "hello"); err != nil {
		t.Fatal(err)
	}
	s = open(t, config(nats))
	want(t, s, map[string]string{"a": "1@1"})
	if err := s.Problems(); err == nil || !strings.Contains(err.Error(), "1 keys that are no retained messages") {
		t.Errorf("problems: %v", err)
	}
	apply(t, s, put("b", "2", 2))
	want(t, s, map[string]string{"a": "1@1", "b": "2@2"})
}

// TestBucketForPeople reads the bucket as the tools of NATS do.
func TestBucketForPeople(t *testing.T) {
	nats := buckettest.Start(t)
	s := open(t, config(nats))
	apply(t, s, put("site/1/temp", "21.5\n\x00", 1), put("gone", "x", 2), del("gone", 3))
	kv := keyValue(t, nats)
	e, err := kv.Get(t.Context(), "t.site.1.temp")
	if err != nil {
		t.Fatal(err)
	}
	if line, payload, _ := strings.Cut(string(e.Value()), "\n"); payload != "21.5\n\x00" || !strings.HasPrefix(line, `{"rev":1,"topic":"site/1/temp"`) {
		t.Errorf("value: %q", e.Value())
	}
	if _, err := kv.Get(t.Context(), "t.gone"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("deleted key: %v", err)
	}
	keys, err := kv.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Errorf("keys %v, %v", keys, err)
	}
}

// TestNewerSchema leaves a bucket alone that a newer version wrote.
func TestNewerSchema(t *testing.T) {
	nats := buckettest.Start(t)
	s := open(t, config(nats))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := keyValue(t, nats).PutString(t.Context(), headKey, `{"format":"gatehouse-retained","schema":2}`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Config: config(nats)}); !errors.Is(err, errForeign) || !strings.Contains(err.Error(), "schema 2") {
		t.Errorf("Open: %v", err)
	}
}

func keyValue(t *testing.T, s *buckettest.Server) jetstream.KeyValue {
	t.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	return kv
}
