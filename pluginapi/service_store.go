package pluginapi

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// maxPart bounds a part of a streamed answer. A record that is larger by itself
// is a part of its own.
const maxPart = 1 << 20

// storeService serves RetainedStoreService.
type storeService struct {
	pluginv1.UnimplementedRetainedStoreServiceServer
	core *core
}

func (*storeService) ownStream() {}

// Load streams all records, and the revision with the last part.
func (s *storeService) Load(_ *pluginv1.LoadRequest, stream pluginv1.RetainedStoreService_LoadServer) error {
	in, err := s.core.begin(1)
	if err != nil {
		return err
	}
	defer s.core.work.done(1)
	part := &pluginv1.LoadResponse{}
	parts := parts{send: func() error {
		defer func() { part = &pluginv1.LoadResponse{} }()
		return stream.Send(part)
	}}
	var newest uint64
	err = in.store.Load(stream.Context(), func(r Record) error {
		pb, err := recordToProto(r)
		if err != nil {
			return err
		}
		if err := parts.room(pb); err != nil {
			return err
		}
		newest = max(newest, r.Revision)
		part.Records = append(part.Records, pb)
		return nil
	})
	if err != nil {
		return toStatus("load", err)
	}
	if part.Revision, err = s.revision(stream.Context(), in, newest); err != nil {
		return err
	}
	part.MaxMessageBytes = in.maxMessageBytes()
	return parts.send()
}

// maxMessageBytes is the limit that the store tells, 0 for none.
func (in *instance) maxMessageBytes() uint64 {
	if l, ok := in.value.(MessageLimiter); ok {
		return uint64(max(0, l.MaxMessageBytes()))
	}
	return 0
}

// revision is the highest revision that the store has seen. Records do not tell
// it if the newest change was a deletion; Stats does.
func (s *storeService) revision(ctx context.Context, in *instance, newest uint64) (uint64, error) {
	st, ok := in.value.(Statser)
	if !ok {
		return newest, nil
	}
	stats, err := st.Stats(ctx)
	if err != nil {
		return 0, toStatus("stats", err)
	}
	return max(newest, stats.Revision), nil
}

// Apply makes changes. Batches come one after the other.
func (s *storeService) Apply(ctx context.Context, req *pluginv1.ApplyRequest) (*pluginv1.ApplyResponse, error) {
	in, err := s.core.begin(1)
	if err != nil {
		return nil, err
	}
	defer s.core.work.done(1)
	changes, err := changesFromProto(req.GetChanges())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	in.applying.Lock()
	defer in.applying.Unlock()
	revision, err := in.store.Apply(ctx, changes)
	if err != nil {
		return nil, toStatus("apply", err)
	}
	return &pluginv1.ApplyResponse{Revision: revision, MaxMessageBytes: in.maxMessageBytes()}, nil
}

// Snapshot streams records and tombstones. The revision is only known at the
// end and comes with the last part.
func (s *storeService) Snapshot(_ *pluginv1.SnapshotRequest, stream pluginv1.RetainedStoreService_SnapshotServer) error {
	if !s.core.abilities.snapshot {
		return status.Error(codes.Unimplemented, "store has no snapshots")
	}
	in, err := s.core.begin(1)
	if err != nil {
		return err
	}
	defer s.core.work.done(1)
	part := &pluginv1.SnapshotResponse{}
	parts := parts{send: func() error {
		defer func() { part = &pluginv1.SnapshotResponse{} }()
		return stream.Send(part)
	}}
	record := func(r Record) error {
		pb, err := recordToProto(r)
		if err != nil {
			return err
		}
		if err := parts.room(pb); err != nil {
			return err
		}
		part.Records = append(part.Records, pb)
		return nil
	}
	tombstone := func(t Tombstone) error {
		if err := checkTexts("topic", t.Topic); err != nil {
			return err
		}
		pb := &pluginv1.Tombstone{Topic: t.Topic, Revision: t.Revision}
		if err := parts.room(pb); err != nil {
			return err
		}
		part.Tombstones = append(part.Tombstones, pb)
		return nil
	}
	revision, err := in.value.(Snapshotter).Snapshot(stream.Context(), record, tombstone)
	if err != nil {
		return toStatus("snapshot", err)
	}
	part.Revision = revision
	return parts.send()
}

// parts bounds the parts of a streamed answer.
type parts struct {
	size int
	send func() error // sends the part and begins another
}

// room makes room for m in the part, which may mean another part.
func (p *parts) room(m proto.Message) error {
	n := proto.Size(m)
	if p.size > 0 && p.size+n > maxPart {
		p.size = 0
		if err := p.send(); err != nil {
			return err
		}
	}
	p.size += n
	return nil
}

// Stats tells how full the store is.
func (s *storeService) Stats(ctx context.Context, _ *pluginv1.StatsRequest) (*pluginv1.StatsResponse, error) {
	in, err := s.core.begin(1)
	if err != nil {
		return nil, err
	}
	defer s.core.work.done(1)
	st, ok := in.value.(Statser)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "store has no statistics")
	}
	stats, err := st.Stats(ctx)
	if err != nil {
		return nil, toStatus("stats", err)
	}
	for k, v := range stats.Details {
		if err := checkTexts("detail", k, "detail", v); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &pluginv1.StatsResponse{
		Messages: stats.Messages, Bytes: stats.Bytes, Revision: stats.Revision, Details: stats.Details,
	}, nil
}

func recordToProto(r Record) (*pluginv1.RetainedRecord, error) {
	m, err := messageToProto(r.Message)
	if err != nil {
		return nil, fmt.Errorf("record of revision %d: %w", r.Revision, err)
	}
	return &pluginv1.RetainedRecord{Message: m, Revision: r.Revision}, nil
}

// changesFromProto gives every change its topic, wherever it was told.
func changesFromProto(pbs []*pluginv1.Change) ([]Change, error) {
	out := make([]Change, len(pbs))
	for i, pb := range pbs {
		c := Change{Op: ChangeOp(pb.GetOp()), Topic: pb.GetTopic(), Revision: pb.GetRevision()}
		switch c.Op {
		case Put:
			if pb.GetMessage() == nil {
				return nil, fmt.Errorf("change %d puts no message", i)
			}
			c.Message = messageFromProto(pb.GetMessage())
			c.Topic = c.Message.Topic
		case Delete, Clear:
		default:
			return nil, fmt.Errorf("change %d has the unknown operation %d", i, pb.GetOp())
		}
		if c.Op != Clear && c.Topic == "" {
			return nil, fmt.Errorf("change %d has no topic", i)
		}
		out[i] = c
	}
	return out, nil
}
