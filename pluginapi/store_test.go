package pluginapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// records is a store that has what it has.
type records struct {
	records []pluginapi.Record
	err     error
	applied []pluginapi.Change
}

func (r *records) Load(_ context.Context, yield func(pluginapi.Record) error) error {
	for _, rec := range r.records {
		if err := yield(rec); err != nil {
			return err
		}
	}
	return r.err
}

func (r *records) Apply(_ context.Context, changes []pluginapi.Change) (uint64, error) {
	r.applied = changes
	return 5, r.err
}

// deepRecords has the companions too.
type deepRecords struct {
	records
	revision   uint64
	tombstones int
	details    map[string]string
}

func (d *deepRecords) Stats(context.Context) (pluginapi.Stats, error) {
	return pluginapi.Stats{Messages: 1, Bytes: 2, Revision: d.revision, Details: d.details}, d.err
}

func (d *deepRecords) Snapshot(ctx context.Context, record func(pluginapi.Record) error, tombstone func(pluginapi.Tombstone) error) (uint64, error) {
	if err := d.Load(ctx, record); err != nil {
		return 0, err
	}
	for i := range d.tombstones {
		if err := tombstone(pluginapi.Tombstone{Topic: fmt.Sprint("dead/", i), Revision: uint64(i)}); err != nil {
			return 0, err
		}
	}
	return d.revision, nil
}

func storePlugin(s any) pluginapi.Plugin { return pluginapi.Plugin{Name: "s", Hooks: s} }

func manyRecords(n, size int) []pluginapi.Record {
	var all []pluginapi.Record
	for i := range n {
		all = append(all, pluginapi.Record{Message: plugintest.Message(fmt.Sprint("t/", i), strings.Repeat("x", size)), Revision: uint64(i + 1)})
	}
	return all
}

// load receives all parts of a Load.
func load(t *testing.T, p *plugintest.Plugin) []*pluginv1.LoadResponse {
	t.Helper()
	s, err := pluginv1.NewRetainedStoreServiceClient(p.Conn()).Load(t.Context(), &pluginv1.LoadRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var parts []*pluginv1.LoadResponse
	for {
		part, err := s.Recv()
		if err != nil {
			return parts
		}
		parts = append(parts, part)
	}
}

func TestLoadInParts(t *testing.T) {
	for _, c := range []struct{ records, size, least, most int }{
		{0, 0, 1, 1}, {1, 0, 1, 1}, {100, 1000, 1, 1}, {5000, 1000, 5, 7}, {3, 2 << 20, 3, 3}, {10, 600 << 10, 10, 10},
	} {
		p := plugintest.Start(t, storePlugin(&records{records: manyRecords(c.records, c.size)}))
		parts := load(t, p)
		n := 0
		for i, part := range parts {
			n += len(part.GetRecords())
			if size := proto.Size(part); size > 1<<20+1<<16 && len(part.GetRecords()) > 1 {
				t.Errorf("part %d has %d bytes and %d records", i, size, len(part.GetRecords()))
			}
		}
		if n != c.records || len(parts) < c.least || len(parts) > c.most {
			t.Errorf("%d records of %d bytes come as %d in %d parts, want %d to %d", c.records, c.size, n, len(parts), c.least, c.most)
		}
		if got := parts[len(parts)-1].GetRevision(); got != uint64(c.records) {
			t.Errorf("revision %d in the last part, want %d", got, c.records)
		}
	}
}

// TestLoadTellsTheNewestRevision: a deletion may have been newer than all
// records.
func TestLoadTellsTheNewestRevision(t *testing.T) {
	p := plugintest.Start(t, storePlugin(&deepRecords{records: records{records: manyRecords(3, 1)}, revision: 99}))
	parts := load(t, p)
	if got := parts[len(parts)-1].GetRevision(); got != 99 {
		t.Errorf("revision %d, want 99", got)
	}
}

func TestSnapshotInParts(t *testing.T) {
	p := plugintest.Start(t, storePlugin(&deepRecords{records: records{records: manyRecords(3000, 1000)}, revision: 77, tombstones: 100000}))
	s, err := pluginv1.NewRetainedStoreServiceClient(p.Conn()).Snapshot(t.Context(), &pluginv1.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var nRecords, nTombstones, parts int
	var revision uint64
	for {
		part, err := s.Recv()
		if err != nil {
			break
		}
		parts++
		nRecords += len(part.GetRecords())
		nTombstones += len(part.GetTombstones())
		revision = part.GetRevision()
	}
	if nRecords != 3000 || nTombstones != 100000 || revision != 77 || parts < 4 || parts > 8 {
		t.Errorf("%d records and %d tombstones at %d in %d parts", nRecords, nTombstones, revision, parts)
	}
}

func TestStoreErrors(t *testing.T) {
	p := plugintest.Start(t, storePlugin(&deepRecords{records: records{err: errors.New("disk on fire")}}))
	_, applyErr := p.Apply(t.Context(), nil)
	_, statsErr := p.Stats(t.Context())
	_, snapshotErr := p.Snapshot(t.Context(), nil, nil)
	for name, err := range map[string]error{"load": p.Load(t.Context(), nil), "apply": applyErr, "stats": statsErr, "snapshot": snapshotErr} {
		if status.Code(err) != codes.Unknown || !strings.Contains(err.Error(), name+": disk on fire") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p = plugintest.Start(t, storePlugin(&deepRecords{
		records: records{records: []pluginapi.Record{{Message: plugintest.Message("\xff", "")}}}, details: map[string]string{"a": "\xff"},
	}))
	if err := p.Load(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("a topic that is not UTF-8: %v", err)
	}
	if _, err := p.Stats(t.Context()); status.Code(err) != codes.Internal {
		t.Errorf("a detail that is not UTF-8: %v", err)
	}
	p = plugintest.Start(t, storePlugin(&records{records: []pluginapi.Record{{Revision: 4}}}))
	if err := p.Load(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "record of revision 4") {
		t.Errorf("a record without a message: %v", err)
	}
	_, err := p.Snapshot(t.Context(), nil, nil)
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("snapshot of a store without: %v", err)
	}
	if _, err := p.Stats(t.Context()); status.Code(err) != codes.Unimplemented {
		t.Errorf("stats of a store without: %v", err)
	}
}

func TestChangesThatMakeNoSense(t *testing.T) {
	s := new(records)
	p := plugintest.Start(t, storePlugin(s))
	api := pluginv1.NewRetainedStoreServiceClient(p.Conn())
	for want, c := range map[string]*pluginv1.Change{
		"puts no message":     {Op: pluginv1.ChangeOp_CHANGE_OP_PUT, Topic: "t"},
		"unknown operation 0": {Topic: "t"},
		"unknown operation 9": {Op: 9},
		"has no topic":        {Op: pluginv1.ChangeOp_CHANGE_OP_DELETE},
		"change 0 has no":     {Op: pluginv1.ChangeOp_CHANGE_OP_PUT, Message: &pluginv1.Message{}},
	} {
		_, err := api.Apply(t.Context(), &pluginv1.ApplyRequest{Changes: []*pluginv1.Change{c}})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if s.applied != nil {
		t.Errorf("the store was given %v", s.applied)
	}
	// The topic of a Put is that of its message; both are told.
	if _, err := api.Apply(t.Context(), &pluginv1.ApplyRequest{Changes: []*pluginv1.Change{
		{Op: pluginv1.ChangeOp_CHANGE_OP_PUT, Message: &pluginv1.Message{Topic: "t"}, Revision: 3},
	}}); err != nil || s.applied[0].Topic != "t" || s.applied[0].Revision != 3 {
		t.Errorf("applied %v, %v", s.applied, err)
	}
}
