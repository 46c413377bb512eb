package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// shelf is the store under test as a case sees it: revisions go on from what the
// store has seen, and what is expected is a map.
type shelf struct {
	*check
	api  pluginv1.RetainedStoreServiceClient
	next uint64 // the next revision to give out
	want map[string]*pluginv1.RetainedRecord
}

// stored is what a Load brings.
type stored struct {
	records  map[string]*pluginv1.RetainedRecord
	revision uint64
	largest  uint64 // message that the store takes; 0: any
	parts    []int  // bytes of each part
	singles  []bool // parts that hold one record
}

// shelf prepares the store for a case: empty, with what was deleted forgotten as
// far as the contract lets a store.
func (c *check) shelf() *shelf {
	s := &shelf{check: c, api: pluginv1.NewRetainedStoreServiceClient(c.process.Conn), want: make(map[string]*pluginv1.RetainedRecord)}
	was := s.load()
	s.next = was.revision + 1
	if len(was.records) > 0 {
		s.apply(s.clear())
	}
	return s
}

// revision gives out the next revision.
func (s *shelf) revision() uint64 {
	s.next++
	return s.next - 1
}

func (s *shelf) put(m *pluginv1.Message) *pluginv1.Change {
	r := s.revision()
	s.want[m.GetTopic()] = &pluginv1.RetainedRecord{Message: m, Revision: r}
	return &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_PUT, Message: m, Revision: r}
}

func (s *shelf) remove(topic string) *pluginv1.Change {
	delete(s.want, topic)
	return &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_DELETE, Topic: topic, Revision: s.revision()}
}

func (s *shelf) clear() *pluginv1.Change {
	clear(s.want)
	return &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_CLEAR, Revision: s.revision()}
}

// old makes a change of a revision of long ago; nothing is expected of it.
func old(revision uint64, m *pluginv1.Message) *pluginv1.Change {
	return &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_PUT, Message: m, Revision: revision}
}

// retained is a message as stores get them.
func retained(topic string, payload []byte) *pluginv1.Message {
	return &pluginv1.Message{
		Topic: topic, Payload: payload, PayloadSize: uint64(len(payload)), Qos: 1, Retain: true, Publisher: "check-client",
		Origin: pluginv1.Origin_ORIGIN_CLIENT, CreatedUnixNanos: 1700000000123456789,
	}
}

// apply makes changes, which have to succeed.
func (s *shelf) apply(changes ...*pluginv1.Change) {
	ctx, cancel := s.call()
	defer cancel()
	out, err := s.api.Apply(ctx, &pluginv1.ApplyRequest{Changes: changes})
	if err != nil {
		s.fatalf("does not apply %d changes: %s", len(changes), rpcError(err))
	}
	for _, ch := range changes {
		if out.GetRevision() < ch.GetRevision() {
			s.fatalf("answers Apply with revision %d after a change of revision %d", out.GetRevision(), ch.GetRevision())
		}
	}
}

// load reads all that is stored.
func (s *shelf) load() *stored {
	ctx, cancel := s.long()
	defer cancel()
	stream, err := s.api.Load(ctx, &pluginv1.LoadRequest{})
	if err != nil {
		s.fatalf("answers Load with %s", rpcError(err))
	}
	out := &stored{records: make(map[string]*pluginv1.RetainedRecord)}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			s.fatalf("ends Load with %s after %d records", rpcError(err), len(out.records))
		}
		out.parts = append(out.parts, proto.Size(part))
		out.singles = append(out.singles, len(part.GetRecords()) <= 1)
		out.revision, out.largest = max(out.revision, part.GetRevision()), max(out.largest, part.GetMaxMessageBytes())
		for _, r := range part.GetRecords() {
			topic := r.GetMessage().GetTopic()
			if out.records[topic] != nil && !s.enough() {
				s.failf("yields the topic %q twice", shortened(topic))
			}
			out.records[topic] = r
			out.revision = max(out.revision, r.GetRevision())
		}
	}
}

// long bounds what is not one call: it grows with the number of topics.
func (c *check) long() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.ctx, c.CallTimeout+time.Duration(c.Topics)*time.Millisecond)
}

// compare holds what is stored against what is expected.
func (s *shelf) compare(when string) {
	got := s.load()
	for topic, want := range s.want {
		r := got.records[topic]
		switch {
		case s.enough():
			return
		case r == nil:
			s.failf("does not have the topic %q%s", shortened(topic), when)
		case r.GetRevision() != want.GetRevision():
			s.failf("has the topic %q at revision %d%s, not %d", shortened(topic), r.GetRevision(), when, want.GetRevision())
		default:
			if diff := difference(want.GetMessage(), r.GetMessage()); diff != "" {
				s.failf("has the topic %q with another %s%s", shortened(topic), diff, when)
			}
		}
	}
	for topic := range got.records {
		if s.want[topic] == nil && !s.enough() {
			s.failf("has the topic %q%s, which should not be there", shortened(topic), when)
		}
	}
	if len(s.problems) == 0 && got.revision < s.next-1 {
		s.failf("tells revision %d in Load%s, and has seen %d", got.revision, when, s.next-1)
	}
}

// settled compares now and after a restart.
func (s *shelf) settled() {
	s.compare("")
	if len(s.problems) == 0 && s.process.ours() {
		s.restart(false)
		s.compare(" after it was stopped and started")
	}
}

// restart ends the process, by force if it is to be killed, and starts another.
func (s *shelf) restart(kill bool) {
	if !s.process.ours() {
		s.skipf("somebody else runs the plugin, and it must not be restarted")
	}
	if kill {
		s.process.Kill()
		<-s.process.Exited
		s.discard()
	} else {
		s.retire(s.ctx)
	}
	if err := s.up(s.ctx); err != nil {
		s.fatalf("does not start again with what it has stored: it %v", err)
	}
	s.api = pluginv1.NewRetainedStoreServiceClient(s.process.Conn)
}

// difference names the fields in which two messages differ. Absent and empty are
// the same where the contract has one form for both.
func difference(want, got *pluginv1.Message) string {
	if proto.Equal(want, got) {
		return ""
	}
	var names []string
	fields := want.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		w, g := want.ProtoReflect(), got.ProtoReflect()
		if string(fd.Name()) == "payload_size" && got.GetPayloadSize() == 0 || string(fd.Name()) == "hops" {
			continue // the payload is there, and tells its size
		}
		if !w.Get(fd).Equal(g.Get(fd)) || fd.HasPresence() && w.Has(fd) != g.Has(fd) {
			names = append(names, string(fd.Name()))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// fits reports whether the store takes a message of so many bytes.
func (s *stored) fits(bytes int) bool { return s.largest == 0 || uint64(bytes) <= s.largest }

// describeParts is for reports.
func (s *stored) describeParts() string {
	return fmt.Sprintf("%d records in %d parts, the largest of %d bytes", len(s.records), len(s.parts), slices.Max(s.parts))
}
