package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// storeCases are about retained messages. They need a store of their own: what
// is in it is lost.
var storeCases = []testCase{
	{
		"store/own", "the store is empty, so that checking it costs nobody anything",
		"give the check a configuration with a store of its own, or --erase to lose what this one has", testOwnStore,
	},
	{
		"store/fields", "a message comes back with every field that it had, and none that it had not",
		"store the whole message; absent and empty differ for correlation data, expiry and payload format", testFields,
	},
	{
		"store/payloads", "payloads of any bytes come back: empty, binary, not UTF-8, large",
		"store payloads as bytes, never as text", testPayloads,
	},
	{
		"store/topics", "topics of any text come back: $SYS, spaces, slashes, names of files, Unicode as it was",
		"use the topic as it is, or encode it without loss, $ included; do not normalise, trim or fold it", testTopics,
	},
	{
		"store/changes", "put, replace, delete, put again and clear do what they say, in the order of a batch",
		"apply the changes of a batch one after the other", testChanges,
	},
	{
		"store/idempotence", "the same batch again changes nothing and is no error",
		"skip a change whose revision is not above that of its topic", testIdempotence,
	},
	{
		"store/stale", "a change of an older revision changes nothing, neither a stored topic nor a deleted one, also after a restart",
		"compare revisions per topic, keep those of deletions (tombstones) and of the last CLEAR, all of them durably", testStale,
	},
	{
		"store/history", "a random history with repetitions leaves what a map would have",
		"compare revisions per topic; a batch may be sent again with all that followed it", testHistory,
	},
	{
		"store/kill", "what Apply answered is there after SIGKILL",
		"answer Apply when the change is out of the process; write before answering, and let no buffer of the process hold it", testKill,
	},
	{
		"store/snapshot", "a snapshot has all records and tombstones of one revision, and makes an equal store of them",
		"tell of deletions in a snapshot; without them a stale change would rise from the dead", testSnapshot,
	},
	{
		"store/stats", "Stats counts messages and tells the highest revision, deletions included",
		"count on above the revision of deletions too", testStats,
	},
	{
		"store/many", "many topics come back, after a restart too, in parts of Load that stay below 4 MiB",
		"send Load in parts of a megabyte or so, and not all records in one message", testManyTopics,
	},
	{
		"store/large", "a message of 5 MiB comes back, or max_message_bytes says that it is too large",
		"raise the limit of messages that the gRPC server receives and sends (4 MiB by default) to 512 MiB, or set max_message_bytes", testLargeMessage,
	},
	{
		"store/cancelled", "after a Load that was broken off another one has everything",
		"end a Load when its call is cancelled", testCancelledLoad,
	},
	{
		"store/nonsense", "changes that make no sense are refused and change nothing",
		"answer INVALID_ARGUMENT before anything of the batch is applied", testNonsenseChanges,
	},
}

func testOwnStore(c *check) {
	s := &shelf{check: c, api: pluginv1.NewRetainedStoreServiceClient(c.process.Conn)}
	if n := len(s.load().records); n > 0 && !c.Erase {
		c.blocked["store"] = "the store is not empty, and the cases would erase it"
		c.fatalf("has %d messages already", n)
	}
}

func testFields(c *check) {
	s := c.shelf()
	full := fullMessage("full")
	full.PayloadIsUtf8, full.ExpirySeconds = proto.Bool(false), proto.Uint32(0)
	full.Publisher, full.Origin = "sensor \"1\" ünïcode", pluginv1.Origin_ORIGIN_WILL
	full.UserProperties = append(full.UserProperties, &pluginv1.UserProperty{}, &pluginv1.UserProperty{Key: "k", Value: "ö\n\"\\"})
	bare := &pluginv1.Message{Topic: "bare", Payload: []byte("p"), PayloadSize: 1, Retain: true, Origin: pluginv1.Origin_ORIGIN_SERVER}
	some := retained("some", []byte("p"))
	some.ExpirySeconds, some.CorrelationData = proto.Uint32(1<<32-1), []byte{0}
	s.apply(s.put(full), s.put(bare), s.put(some))
	s.settled()
}

func testPayloads(c *check) {
	s := c.shelf()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, p := range [][]byte{
		{},
		{0},
		every, []byte("\n\r\n\x00\n"),
		{0xff, 0xfe, 0xc3},
		[]byte("{\"a\":\"b\\n\"}"), []byte("\xed\xa0\x80"), bytes.Repeat(every, 1024),
		[]byte("null"), []byte(" "), []byte("'; DROP TABLE retained; --"),
	} {
		s.apply(s.put(retained(fmt.Sprint("payload/", i), p)))
	}
	s.settled()
}

// oddTopics are names that a file system, a database, a pattern or a text format
// may take for something else.
var oddTopics = []string{
	"a", "A", "a/", "/a", "a//b", "a/b", "a/ b", " ", "/", "//", ".", "..", "../../etc/passwd", "a/../b", "con", "a:b", "a*b", "a?b", "a.>",
	"a%2Fb", "a.b", "a_b", "a-b", "$SYS/broker/uptime", "$share", "$", "$SYS", "[1]", "*", ">", "{}", `"`, `\`, "'", "a\tb", "a\nb", "a\r\nb",
	"true", "null", "0", "ü", "u\u0308", "日本/語", "🙂", "\u200b", "\ufeffa", "\u2028", "\U0010ffff", strings.Repeat("x/", 5000) + "x",
	"' OR '1'='1", "%s%n", strings.Repeat("long", 1000),
}

func testTopics(c *check) {
	s := c.shelf()
	for _, topic := range oddTopics {
		s.apply(s.put(retained(topic, []byte("payload of "+topic[:min(len(topic), 20)]))))
	}
	s.settled()
	if len(c.problems) == 0 {
		s.apply(s.remove("a"), s.remove("$SYS/broker/uptime"), s.remove("日本/語"), s.remove("a/"))
		s.settled()
	}
}

func testChanges(c *check) {
	s := c.shelf()
	s.apply() // no change is no error
	s.apply(s.remove("never/was"))
	s.compare("")
	s.apply(s.put(retained("t", []byte("one"))))
	s.apply(s.put(retained("t", []byte("two"))), s.put(retained("o", []byte("other"))))
	s.compare(" after it was replaced")
	s.apply(s.put(retained("t", []byte("a"))), s.remove("t"), s.put(retained("t", []byte("b"))), s.put(retained("u", []byte("u"))), s.remove("u"))
	s.settled()
	s.apply(s.put(retained("v", []byte("v"))), s.clear(), s.put(retained("w", []byte("w"))))
	s.settled()
}

func testIdempotence(c *check) {
	s := c.shelf()
	batches := [][]*pluginv1.Change{{s.put(retained("again/a", []byte("1"))), s.put(retained("again/b", []byte("2")))}}
	batches = append(batches, []*pluginv1.Change{s.remove("again/a"), s.put(retained("again/c", []byte("3")))})
	batches = append(batches, []*pluginv1.Change{s.clear(), s.put(retained("again/b", []byte("4")))})
	for _, batch := range batches {
		s.apply(batch...)
		s.apply(batch...)
	}
	s.apply(batches[2]...)
	s.settled()
}

func testStale(c *check) {
	s := c.shelf()
	base := s.next
	s.next += 20 // revisions that others had
	s.apply(s.put(retained("t", []byte("current"))), s.put(retained("u", []byte("deleted"))))
	s.apply(s.remove("u"))
	stale := func(n uint64, topics ...string) {
		for _, topic := range topics {
			s.apply(old(base+n, retained(topic, []byte("stale"))))
		}
		s.apply(&pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_DELETE, Topic: "t", Revision: base + n})
	}
	stale(5, "t", "u")
	s.compare(" after stale changes")
	if len(c.problems) > 0 {
		return
	}
	if c.process.ours() {
		s.restart(false)
		stale(6, "t", "u")
		s.compare(" after stale changes that came after a restart")
	}
	if len(c.problems) > 0 {
		return
	}
	s.apply(s.clear())
	stale(7, "t", "u", "other")
	s.compare(" after changes older than a CLEAR")
	if c.process.ours() && len(c.problems) == 0 {
		s.restart(false)
		stale(8, "t", "u", "other")
		s.compare(" after changes older than a CLEAR and a restart")
	}
}

func testHistory(c *check) {
	s := c.shelf()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same for everybody
	topics := []string{"a", "b", "a/b", "$SYS/a", "ü"}
	var past [][]*pluginv1.Change
	for step := range 60 {
		var batch []*pluginv1.Change
		for range 1 + random.IntN(5) {
			s.next += random.Uint64N(3)
			topic := topics[random.IntN(len(topics))]
			switch n := random.IntN(20); {
			case n == 0:
				batch = append(batch, s.clear())
			case n < 6:
				batch = append(batch, s.remove(topic))
			default:
				batch = append(batch, s.put(retained(topic, fmt.Append(nil, s.next))))
			}
		}
		s.apply(batch...)
		past = append(past, batch)
		// The broker sends again what it has no answer to, and all that follows.
		for _, again := range past[len(past)-1-random.IntN(min(3, len(past))):] {
			s.apply(again...)
		}
		if step%6 == 5 {
			s.compare(fmt.Sprintf(" after %d batches", step+1))
		}
		if len(c.problems) > 0 {
			return
		}
	}
	s.settled()
}

func testKill(c *check) {
	if !c.process.ours() {
		c.skipf("somebody else runs the plugin, and it must not be killed")
	}
	s := c.shelf()
	for round := range 3 {
		for i := range 20 {
			s.apply(s.put(retained(fmt.Sprintf("kill/%d/%d", round, i), bytes.Repeat([]byte{byte(i)}, 100*i))))
		}
		s.apply(s.remove(fmt.Sprintf("kill/%d/0", round)))
		s.restart(true)
		s.compare(" after it was killed")
		if len(c.problems) > 0 {
			return
		}
	}
}

func testStats(c *check) {
	s := c.shelf()
	_, err := s.api.Stats(c.ctx, &pluginv1.StatsRequest{})
	if status.Code(err) == codes.Unimplemented {
		c.skipf("the plugin has no Stats")
	}
	want := func(when string) {
		ctx, cancel := c.call()
		defer cancel()
		got, err := s.api.Stats(ctx, &pluginv1.StatsRequest{})
		switch {
		case err != nil:
			c.failf("answers Stats with %s", rpcError(err))
		case got.GetMessages() != uint64(len(s.want)) || got.GetRevision() != s.next-1:
			c.failf("counts %d messages at revision %d%s, not %d at %d", got.GetMessages(), got.GetRevision(), when, len(s.want), s.next-1)
		}
	}
	s.apply(s.put(retained("a", []byte("1"))), s.put(retained("b", []byte("2"))), s.remove("a"))
	want("")
	s.apply(s.clear())
	want(" after a CLEAR")
	if c.process.ours() && len(c.problems) == 0 {
		s.restart(false)
		want(" after a CLEAR and a restart")
	}
}
