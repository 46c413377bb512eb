package plugintest

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// TestStore checks a store against what [pluginapi.Store] promises, and its
// companions [pluginapi.Snapshotter] and [pluginapi.Statser] if it has them.
//
// open opens the store that is kept in dir, and a second time after the first
// has been closed: by its Stop (see [pluginapi.Stopper]), its Close (see
// io.Closer), or neither. It may be the store itself, or a [Plugin], so that the
// whole way is tested:
//
//	plugintest.TestStore(t, func(t testing.TB, dir string) pluginapi.Store {
//		return plugintest.Start(t, plugin(), plugintest.DataDir(dir))
//	})
func TestStore(t *testing.T, open func(t testing.TB, dir string) pluginapi.Store) {
	for _, c := range storeCases {
		t.Run(c.name, func(t *testing.T) {
			s := &storeTest{T: t, open: open, dir: t.TempDir()}
			s.reopen()
			defer s.close()
			c.run(s)
		})
	}
}

var storeCases = []struct {
	name string
	run  func(*storeTest)
}{
	{"empty", testEmpty},
	{"fields", testFields},
	{"payloads", testPayloads},
	{"topics", testTopics},
	{"replace and delete", testReplaceAndDelete},
	{"order within a batch", testOrderInBatch},
	{"clear", testClear},
	{"same batch again", testIdempotence},
	{"stale revisions", testStaleRevisions},
	{"tombstones", testTombstones},
	{"load stops", testLoadStops},
	{"many", testMany},
	{"history", testHistory},
	{"snapshot", testSnapshot},
	{"stats", testStats},
}

// storeTest is one case with its store.
type storeTest struct {
	*testing.T
	open  func(t testing.TB, dir string) pluginapi.Store
	dir   string
	store pluginapi.Store
}

// reopen closes the store, if it is open, and opens it again.
func (s *storeTest) reopen() {
	s.Helper()
	s.close()
	s.store = s.open(s.T, s.dir)
}

func (s *storeTest) close() {
	s.Helper()
	var err error
	switch c := s.store.(type) {
	case pluginapi.Stopper:
		err = c.Stop(context.WithoutCancel(s.Context()))
	case io.Closer:
		err = c.Close()
	}
	if err != nil {
		s.Fatalf("closing the store: %v", err)
	}
	s.store = nil
}

// apply applies changes and wants the revision of the last of them, or a higher
// one.
func (s *storeTest) apply(changes ...pluginapi.Change) uint64 {
	s.Helper()
	revision, err := s.store.Apply(s.Context(), changes)
	if err != nil {
		s.Fatalf("Apply: %v", err)
	}
	for _, c := range changes {
		if revision < c.Revision {
			s.Errorf("Apply returned revision %d after a change of revision %d", revision, c.Revision)
		}
	}
	return revision
}

// records loads the store.
func (s *storeTest) records() map[string]pluginapi.Record {
	s.Helper()
	all := map[string]pluginapi.Record{}
	err := s.store.Load(s.Context(), func(r pluginapi.Record) error {
		if _, twice := all[r.Message.Topic]; twice {
			s.Errorf("Load yields topic %q twice", r.Message.Topic)
		}
		all[r.Message.Topic] = r
		return nil
	})
	if err != nil {
		s.Fatalf("Load: %v", err)
	}
	return all
}

// want compares what is stored, now and after it has been closed and opened.
func (s *storeTest) want(records ...pluginapi.Record) {
	s.Helper()
	s.wantNow("", records)
	s.reopen()
	s.wantNow(" after it was opened again", records)
}

func (s *storeTest) wantNow(when string, want []pluginapi.Record) {
	s.Helper()
	got := s.records()
	for _, w := range want {
		g, ok := got[w.Message.Topic]
		if !ok {
			s.Errorf("topic %q is missing%s", short(w.Message.Topic), when)
			continue
		}
		delete(got, w.Message.Topic)
		if g.Revision != w.Revision {
			s.Errorf("topic %q has revision %d%s, want %d", short(w.Message.Topic), g.Revision, when, w.Revision)
		}
		if diff := diffMessages(w.Message, g.Message); diff != "" {
			s.Errorf("topic %q differs%s: %s", short(w.Message.Topic), when, diff)
		}
	}
	for topic := range got {
		s.Errorf("topic %q is stored%s, and should not be", short(topic), when)
	}
}

// errEnough ends a Load.
var errEnough = errors.New("enough")

func put(revision uint64, m *pluginapi.Message) pluginapi.Change {
	return pluginapi.Change{Op: pluginapi.Put, Topic: m.Topic, Message: m, Revision: revision}
}

func remove(revision uint64, topic string) pluginapi.Change {
	return pluginapi.Change{Op: pluginapi.Delete, Topic: topic, Revision: revision}
}

func clearAll(revision uint64) pluginapi.Change {
	return pluginapi.Change{Op: pluginapi.Clear, Revision: revision}
}

func record(revision uint64, m *pluginapi.Message) pluginapi.Record {
	return pluginapi.Record{Message: m, Revision: revision}
}

// retained makes a message as stores get them.
func retained(topic, payload string, change ...func(*pluginapi.Message)) *pluginapi.Message {
	m := Message(topic, payload, change...)
	m.Retain = true
	return m
}
