package retain_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

var errAway = errors.New("store is away")

// fake is a store in memory that does what the contract asks for, checks what
// the writer promises, and fails as it is told.
type fake struct {
	t *testing.T

	// before and after, if not nil, are called around every Apply with its
	// number, from 1; what they return is the outcome. An error of after comes
	// from a call that has changed the store.
	before, after func(ctx context.Context, call int) error

	mu       sync.Mutex
	busy     bool
	records  map[string]retain.Record
	revision uint64
	calls    int
	batches  [][]retain.Change // what every successful call changed
	times    []time.Time       // of all calls
	loadErr  error
}

func (f *fake) Load(context.Context) iter.Seq2[retain.Record, error] {
	return func(yield func(retain.Record, error) bool) {
		f.mu.Lock()
		records, revision := maps.Clone(f.records), f.revision
		f.mu.Unlock()
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
		if f.loadErr != nil {
			yield(retain.Record{}, f.loadErr)
			return
		}
		yield(retain.Record{Revision: revision}, nil)
	}
}

func (f *fake) Apply(ctx context.Context, changes []retain.Change) error {
	f.mu.Lock()
	if f.busy {
		f.t.Error("Apply is called by two goroutines at once")
	}
	f.busy = true
	f.calls++
	call := f.calls
	f.times = append(f.times, time.Now())
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.busy = false
		f.mu.Unlock()
	}()
	if f.before != nil {
		if err := f.before(ctx, call); err != nil {
			return err
		}
	}
	f.apply(changes)
	if f.after != nil {
		return f.after(ctx, call)
	}
	return nil
}

func (f *fake) apply(changes []retain.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(changes) == 0 {
		f.t.Error("Apply without a change")
	}
	if f.records == nil {
		f.records = map[string]retain.Record{}
	}
	before := uint64(0)
	var done []retain.Change
	for _, c := range changes {
		if c.Revision <= before {
			f.t.Errorf("revision %d follows %d", c.Revision, before)
		}
		before = c.Revision
		if c.Revision <= f.revision {
			continue // this one was applied by a call that failed
		}
		f.revision = c.Revision
		switch c.Op {
		case retain.Put:
			f.records[c.Topic] = retain.Record{Message: c.Message, Revision: c.Revision}
		case retain.Delete:
			delete(f.records, c.Topic)
		case retain.Clear:
			clear(f.records)
		default:
			f.t.Errorf("operation %v", c.Op)
		}
		done = append(done, c)
	}
	f.batches = append(f.batches, done)
}

// payloads returns what is stored.
func (f *fake) payloads() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]string{}
	for topic, r := range f.records {
		all[topic] = string(r.Message.Payload)
	}
	return all
}

// start runs the writer of an index until the returned function is called,
// which also happens at the end of the test.
func start(t *testing.T, x *retain.Index) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func message(topic, payload string) *mqtt.Message {
	return &mqtt.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: true}
}

// expiring returns a message made at now that expires after seconds.
func expiring(topic string, now time.Time, seconds uint32) *mqtt.Message {
	m := message(topic, "x")
	m.Created = now
	m.Properties = &mqtt.Properties{Expiry: seconds, HasExpiry: true}
	return m
}

func set(tb testing.TB, x *retain.Index, topic, payload string) uint64 {
	tb.Helper()
	revision, err := x.Set(message(topic, payload), time.Now())
	if err != nil {
		tb.Fatalf("Set(%q): %v", topic, err)
	}
	return revision
}

// inIndex returns what a subscriber to everything would get.
func inIndex(x *retain.Index) map[string]string {
	all := map[string]string{}
	x.Match("#", time.Now(), func(m *mqtt.Message) bool {
		all[m.Topic] = string(m.Payload)
		return true
	})
	return all
}
