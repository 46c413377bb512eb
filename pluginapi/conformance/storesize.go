package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// maxPart is the largest part of a stream that everybody can receive: the
// default of gRPC.
const maxPart = 4 << 20

func testManyTopics(c *check) {
	s := c.shelf()
	// Enough bytes for several parts, however many topics there are.
	payload := bytes.Repeat([]byte("0123456789abcdef"), 1+min(1<<16, (6<<20)/c.Topics)/16)
	if c.Topics > 100000 {
		payload = payload[:16]
	}
	const batch = 500
	var changes []*pluginv1.Change
	for i := range c.Topics {
		changes = append(changes, s.put(retained(fmt.Sprintf("many/%d/%d", i%997, i), payload)))
		if len(changes) == batch {
			s.apply(changes...)
			changes = nil
		}
	}
	s.apply(changes...)
	s.compare("")
	if len(c.problems) > 0 {
		return
	}
	if c.process.ours() {
		s.restart(false)
		s.compare(" after a restart")
	}
	got := s.load()
	for i, size := range got.parts {
		if size > maxPart && !got.singles[i] {
			c.fatalf("sends Load in parts that are too large: %s", got.describeParts())
		}
	}
	s.apply(s.clear())
	s.compare(" after a CLEAR")
}

func testLargeMessage(c *check) {
	s := c.shelf()
	m := retained("large", bytes.Repeat([]byte("large"), 1<<20))
	if got := s.load(); !got.fits(len(m.GetTopic()) + len(m.GetPayload())) {
		c.skipf("the store takes messages of up to %d bytes, and says so", got.largest)
	}
	ctx, cancel := c.call()
	defer cancel()
	if _, err := s.api.Apply(ctx, &pluginv1.ApplyRequest{Changes: []*pluginv1.Change{s.put(m)}}); err != nil {
		c.fatalf("does not store a message of 5 MiB: %s", rpcError(err))
	}
	s.settled()
}

func testCancelledLoad(c *check) {
	s := c.shelf()
	payload := []byte(strings.Repeat("x", 4<<10))
	for i := range 4 {
		var changes []*pluginv1.Change
		for j := range 250 {
			changes = append(changes, s.put(retained(fmt.Sprintf("cancelled/%d/%d", i, j), payload)))
		}
		s.apply(changes...)
	}
	for range 4 {
		ctx, cancel := context.WithCancel(c.ctx)
		if stream, err := s.api.Load(ctx, &pluginv1.LoadRequest{}); err == nil {
			_, _ = stream.Recv()
		}
		cancel()
	}
	s.apply(s.remove("cancelled/0/0"))
	s.compare(" after a Load that was broken off")
}

func testNonsenseChanges(c *check) {
	s := c.shelf()
	s.apply(s.put(retained("here", []byte("p"))))
	good := old(s.next+1, retained("good", []byte("half a batch")))
	for _, bad := range []struct {
		what string
		*pluginv1.Change
	}{
		{"without an operation", &pluginv1.Change{Topic: "here", Revision: s.next + 2}},
		{"of an unknown operation", &pluginv1.Change{Op: 99, Topic: "here", Revision: s.next + 2}},
		{"PUT without a message", &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_PUT, Topic: "here", Revision: s.next + 2}},
	} {
		ctx, cancel := c.call()
		_, err := s.api.Apply(ctx, &pluginv1.ApplyRequest{Changes: []*pluginv1.Change{good, bad.Change}})
		cancel()
		switch status.Code(err) {
		case codes.OK:
			c.failf("applies a change %s", bad.what)
		case codes.Unavailable, codes.DeadlineExceeded:
			c.failf("does not answer (%s), to a change %s", rpcError(err), bad.what)
		}
	}
	if len(c.problems) == 0 {
		s.compare(" after batches that were refused")
	}
}

// shot is what Snapshot brings.
type shot struct {
	records  []*pluginv1.RetainedRecord
	buried   map[string]uint64
	revision uint64
}

func (s *shelf) snapshot() *shot {
	ctx, cancel := s.long()
	defer cancel()
	stream, err := s.api.Snapshot(ctx, &pluginv1.SnapshotRequest{})
	if err != nil {
		s.fatalf("answers Snapshot with %s", rpcError(err))
	}
	out := &shot{buried: make(map[string]uint64)}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			s.fatalf("ends Snapshot with %s", rpcError(err))
		}
		out.records = append(out.records, part.GetRecords()...)
		for _, t := range part.GetTombstones() {
			out.buried[t.GetTopic()] = t.GetRevision()
		}
		out.revision = max(out.revision, part.GetRevision())
	}
}

func testSnapshot(c *check) {
	if !c.init.GetCapabilities().GetSnapshot() {
		c.skipf("the plugin has no Snapshot")
	}
	s := c.shelf()
	s.apply(s.put(retained("a", []byte("1"))), s.put(retained("b", []byte("2"))), s.put(retained("$SYS/c", []byte("3"))))
	s.apply(s.remove("b"))
	deleted := s.next - 1
	shot := s.snapshot()
	if shot.revision != deleted {
		c.failf("takes a snapshot of revision %d at %d", shot.revision, deleted)
	}
	if got := shot.buried["b"]; got != deleted {
		c.failf("has the tombstone of a topic that was deleted at revision %d at %d (0: not at all)", deleted, got)
	}
	if _, ok := shot.buried["a"]; ok {
		c.failf("has a tombstone for a topic that is stored")
	}
	for _, r := range shot.records {
		want := s.want[r.GetMessage().GetTopic()]
		if want == nil || want.GetRevision() != r.GetRevision() || difference(want.GetMessage(), r.GetMessage()) != "" {
			c.failf("has the topic %q in a snapshot otherwise than stored", shortened(r.GetMessage().GetTopic()))
		}
	}
	if len(shot.records) != len(s.want) {
		c.failf("has %d records in a snapshot of %d", len(shot.records), len(s.want))
	}
	if len(c.problems) > 0 {
		return
	}
	// Into a store that is empty, as a move to another store does it: in order
	// of revision. What this one had is gone, and revisions go on above it.
	shift := s.next
	var changes []*pluginv1.Change
	want := make(map[string]*pluginv1.RetainedRecord)
	for _, r := range shot.records {
		at := r.GetRevision() + shift
		want[r.GetMessage().GetTopic()] = &pluginv1.RetainedRecord{Message: r.GetMessage(), Revision: at}
		changes = append(changes, old(at, r.GetMessage()))
	}
	for topic, revision := range shot.buried {
		changes = append(changes, &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_DELETE, Topic: topic, Revision: revision + shift})
	}
	slices.SortFunc(changes, func(a, b *pluginv1.Change) int { return int(int64(a.GetRevision()) - int64(b.GetRevision())) })
	s.apply(s.clear())
	s.apply(changes...)
	s.want, s.next = want, changes[len(changes)-1].GetRevision()+1
	s.settled()
}
