package retain

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// TestQueueIsNaive pushes changes of topics that come up again and again, and
// compares what is taken with the last change of each topic.
func TestQueueIsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		revision := uint64(0)
		last := map[string]Change{} // by topic
		first := map[string]uint64{}
		topics := rapid.IntRange(1, 30).Draw(t, "topics")
		for range rapid.SampledFrom([]int{0, 10, 100, 500}).Draw(t, "pushes") {
			revision++
			c := Change{Op: Delete, Topic: fmt.Sprint(rapid.IntRange(0, topics).Draw(t, "topic")), Revision: revision}
			switch op := rapid.Byte().Draw(t, "op"); {
			case op == 99:
				c.Op, c.Topic = Clear, ""
				clear(last)
				clear(first)
			case op%4 > 0:
				c.Op, c.Message = Put, &mqtt.Message{Topic: c.Topic, Payload: make([]byte, revision%7)}
			}
			if _, found := first[c.Topic]; !found {
				first[c.Topic] = revision
			}
			expected := q.with(&c)
			q.push(&c)
			if c.Op != Clear && q.load != expected {
				t.Fatalf("load %v after push, %v was foreseen", q.load, expected)
			}
			last[c.Topic] = c
			if len(q.changes) > 2*len(last)+64 {
				t.Fatalf("%d places for %d changes", len(q.changes), len(last))
			}
		}
		var want []queued
		var total load
		for topic, c := range last {
			want = append(want, queued{c, first[topic]})
			total.add(c.load())
		}
		slices.SortFunc(want, func(a, b queued) int { return int(a.Revision) - int(b.Revision) })
		if q.load != total {
			t.Fatalf("load %v, want %v", q.load, total)
		}
		b := q.take()
		if !slices.Equal(b.changes, want) {
			t.Fatalf("took %v, want %v", b.changes, want)
		}
		if q.load != (load{}) || len(q.take().changes) != 0 {
			t.Fatal("the queue is not empty")
		}
		checkChunks(t, b)
	})
}

// checkChunks cuts a batch and looks at what each chunk claims.
func checkChunks(t *rapid.T, b batch) {
	maxChanges, maxBytes := rapid.IntRange(1, 9).Draw(t, "changes"), rapid.IntRange(1, 40).Draw(t, "bytes")
	rest := b.changes
	for _, c := range b.chunks(maxChanges, maxBytes) {
		if c.load.changes != len(c.changes) || len(c.changes) > maxChanges || (c.load.bytes > maxBytes && len(c.changes) > 1) {
			t.Fatalf("a chunk of %v with %d changes", c.load, len(c.changes))
		}
		for _, change := range c.changes {
			if change != rest[0].Change {
				t.Fatalf("%v in place of %v", change, rest[0].Change)
			}
			rest = rest[1:]
		}
		want := c.changes[len(c.changes)-1].Revision
		for _, later := range rest {
			want = min(want, later.oldest-1)
		}
		if c.durable != want {
			t.Fatalf("a chunk claims revision %d, want %d", c.durable, want)
		}
	}
	if len(rest) > 0 {
		t.Fatalf("%d changes are in no chunk", len(rest))
	}
}
