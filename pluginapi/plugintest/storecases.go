package plugintest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func testEmpty(s *storeTest) {
	s.want()
	s.apply() // no change is no error
	s.apply(remove(1, "never/was"), clearAll(2))
	s.want()
}

// testFields stores a message that has everything, and one that has nothing.
func testFields(s *storeTest) {
	utf8, expiry := false, uint32(0)
	full := retained("a/b", "payload", func(m *pluginapi.Message) {
		m.QoS = 2
		m.PayloadIsUTF8 = &utf8
		m.Expiry = &expiry
		m.ContentType = "text/plain"
		m.ResponseTopic = "re/ply"
		m.CorrelationData = []byte{0, 255, 10, 13}
		m.UserProperties = []pluginapi.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "1"}, {Key: "", Value: ""}, {Key: "k", Value: "ö\n\"\\"}}
		m.Publisher = "sensor \"1\""
		m.Origin = pluginapi.FromWill
		m.Created = time.Unix(1700000000, 123456789)
	})
	bare := &pluginapi.Message{Topic: "x", Payload: []byte("p"), PayloadSize: 1, Retain: true}
	s.apply(put(7, full), put(8, bare))
	s.want(record(7, full), record(8, bare))
}

func testPayloads(s *storeTest) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	payloads := map[string][]byte{
		"empty": {}, "zero": {0}, "newlines": []byte("\n\r\n\x00\n"), "bytes": every, "invalid utf-8": {0xff, 0xfe, 0xc3},
		"json": []byte(`{"a":"b\n"}`), "surrogates": []byte("\xed\xa0\x80"), "large": bytes.Repeat(every, 4096),
	}
	var want []pluginapi.Record
	revision := uint64(0)
	for name, p := range payloads {
		revision++
		m := retained("payload/"+name, string(p))
		s.apply(put(revision, m))
		want = append(want, record(revision, m))
	}
	s.want(want...)
}

// testTopics stores names that a file system, a database, a pattern or a text
// format may take for something else.
func testTopics(s *storeTest) {
	topics := []string{
		"a", "A", "a/", "/a", "a//b", "a/b", "a/ b", " ", "/", "//", ".", "..", "../../etc/passwd", "a/../b", "con", "a:b", "a*b", "a?b", "a.>", "a%2Fb",
		"$SYS/broker/uptime", "$share", "$", "[1]", "*", "{}", `"`, `\`, "'", "a\tb", "a\nb", "a\r\nb", "true", "null",
		"ü", "u\u0308", "日本/語", "🙂", "\u200b", "\ufeffa", "\u2028", "\U0010ffff", strings.Repeat("x/", 32767) + "x",
	}
	var want []pluginapi.Record
	for i, topic := range topics {
		m := retained(topic, "payload of "+topic[:min(len(topic), 20)])
		s.apply(put(uint64(i+1), m))
		want = append(want, record(uint64(i+1), m))
	}
	s.want(want...)
	s.apply(remove(1000, "a"), remove(1001, "$SYS/broker/uptime"), remove(1002, "日本/語"))
	var left []pluginapi.Record
	for _, r := range want {
		if t := r.Message.Topic; t != "a" && t != "$SYS/broker/uptime" && t != "日本/語" {
			left = append(left, r)
		}
	}
	s.want(left...)
}

func testReplaceAndDelete(s *storeTest) {
	first, second, other := retained("t", "one"), retained("t", "two"), retained("o", "other")
	s.apply(put(1, first))
	s.apply(put(2, second))
	s.apply(put(3, other))
	s.want(record(2, second), record(3, other))
	s.apply(remove(4, "t"))
	s.want(record(3, other))
	s.apply(put(5, first))
	s.want(record(5, first), record(3, other))
}

func testOrderInBatch(s *storeTest) {
	a, b := retained("t", "a"), retained("t", "b")
	s.apply(put(1, a), remove(2, "t"), put(3, b), remove(4, "u"), put(5, retained("u", "u")), remove(6, "u"))
	s.want(record(3, b))
	s.apply(put(7, a), clearAll(8), put(9, b))
	s.want(record(9, b))
}

func testClear(s *storeTest) {
	s.apply(put(1, retained("a", "1")), put(2, retained("b", "2")), put(3, retained("$SYS/c", "3")))
	s.apply(clearAll(4))
	s.want()
	after := retained("b", "4")
	s.apply(put(5, after))
	s.want(record(5, after))
}

// testIdempotence applies each batch twice, as the broker does when an answer
// was lost.
func testIdempotence(s *storeTest) {
	a, b := retained("a", "1"), retained("b", "2")
	batches := [][]pluginapi.Change{
		{put(1, a), put(2, b)}, {remove(3, "a"), put(4, retained("c", "3"))}, {clearAll(5), put(6, b)},
	}
	for _, batch := range batches {
		first := s.apply(batch...)
		if again := s.apply(batch...); again != first {
			s.Errorf("the same batch returned revision %d, then %d", first, again)
		}
	}
	s.want(record(6, b))
}

// testStaleRevisions wants changes that are not newer than what there is to be
// skipped, without an error: the broker sends them in good faith.
func testStaleRevisions(s *storeTest) {
	current := retained("t", "current")
	s.apply(put(10, current))
	s.apply(put(9, retained("t", "older")))
	s.apply(put(10, retained("t", "same")))
	s.apply(remove(8, "t"))
	s.apply(remove(10, "t"))
	s.want(record(10, current))
	s.apply(put(9, retained("t", "older")))
	s.want(record(10, current))
	newer := retained("t", "newer")
	s.apply(put(11, newer))
	s.want(record(11, newer))
}

// testTombstones wants a deletion to be remembered, so that nothing rises from
// the dead when an old change comes again, also after a restart.
func testTombstones(s *storeTest) {
	s.apply(put(1, retained("t", "1")), put(2, retained("u", "2")))
	s.apply(remove(5, "t"))
	s.apply(put(4, retained("t", "stale")))
	s.want(record(2, retained("u", "2")))
	s.apply(put(4, retained("t", "stale")))
	s.apply(put(5, retained("t", "stale")))
	s.want(record(2, retained("u", "2")))
	s.apply(clearAll(9))
	s.apply(put(8, retained("u", "stale")), put(9, retained("t", "stale")))
	s.want()
	s.apply(put(8, retained("u", "stale")))
	s.want()
}

// testLoadStops wants Load to end with the error of its yield.
func testLoadStops(s *storeTest) {
	s.apply(put(1, retained("a", "1")), put(2, retained("b", "2")), put(3, retained("c", "3")))
	calls := 0
	err := s.store.Load(s.Context(), func(pluginapi.Record) error {
		calls++
		return errEnough
	})
	if !errors.Is(err, errEnough) || calls != 1 {
		s.Errorf("Load = %v after %d records, want the error of yield after one", err, calls)
	}
	if got := len(s.records()); got != 3 {
		s.Errorf("%d records after a Load that was ended, want 3", got)
	}
}

// testMany stores more than one part of a stream can hold.
func testMany(s *storeTest) {
	const records, batch = 2000, 250
	var want []pluginapi.Record
	var changes []pluginapi.Change
	for i := range records {
		m := retained(fmt.Sprintf("many/%d/%d", i%7, i), strings.Repeat("x", i%1000))
		changes = append(changes, put(uint64(i+1), m))
		want = append(want, record(uint64(i+1), m))
		if len(changes) == batch {
			s.apply(changes...)
			changes = nil
		}
	}
	s.want(want...)
}

// testHistory makes random histories with repetitions of what has been, and
// compares with a map.
func testHistory(s *storeTest) {
	random := rand.New(rand.NewPCG(1, 2))
	topics := []string{"a", "b", "a/b", "$SYS/a", "ü"}
	model := map[string]pluginapi.Record{}
	var past [][]pluginapi.Change
	revision := uint64(0)
	for step := range 120 {
		var batch []pluginapi.Change
		for range 1 + random.IntN(5) {
			revision += 1 + random.Uint64N(3)
			topic := topics[random.IntN(len(topics))]
			switch n := random.IntN(20); {
			case n == 0:
				batch = append(batch, clearAll(revision))
				clear(model)
			case n < 6:
				batch = append(batch, remove(revision, topic))
				delete(model, topic)
			default:
				m := retained(topic, fmt.Sprint(revision))
				batch = append(batch, put(revision, m))
				model[topic] = record(revision, m)
			}
		}
		s.apply(batch...)
		past = append(past, batch)
		// The broker sends again what it has no answer to, and all that follows.
		for _, again := range past[len(past)-1-random.IntN(min(3, len(past))):] {
			s.apply(again...)
		}
		var want []pluginapi.Record
		for _, r := range model {
			want = append(want, r)
		}
		if step%20 == 19 {
			s.want(want...)
		} else {
			s.wantNow(fmt.Sprintf(" in step %d", step), want)
		}
		if s.Failed() {
			return
		}
	}
}
