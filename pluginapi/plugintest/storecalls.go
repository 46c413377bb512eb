package plugintest

import (
	"context"
	"errors"
	"io"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Load loads the plugin's store.
func (p *Plugin) Load(ctx context.Context, yield func(pluginapi.Record) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pluginv1.NewRetainedStoreServiceClient(p.conn).Load(ctx, &pluginv1.LoadRequest{})
	if err != nil {
		return err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := records(part.GetRecords(), yield); err != nil {
			return err
		}
	}
}

func records(pbs []*pluginv1.RetainedRecord, yield func(pluginapi.Record) error) error {
	for _, r := range pbs {
		if err := yield(pluginapi.Record{Message: messageFromProto(r.GetMessage()), Revision: r.GetRevision()}); err != nil {
			return err
		}
	}
	return nil
}

// Apply applies changes to the plugin's store.
func (p *Plugin) Apply(ctx context.Context, changes []pluginapi.Change) (uint64, error) {
	req := new(pluginv1.ApplyRequest)
	for _, c := range changes {
		pb := &pluginv1.Change{Op: pluginv1.ChangeOp(c.Op), Revision: c.Revision}
		if c.Op == pluginapi.Put {
			pb.Message = messageToProto(c.Message)
		} else {
			pb.Topic = c.Topic
		}
		req.Changes = append(req.Changes, pb)
	}
	resp, err := pluginv1.NewRetainedStoreServiceClient(p.conn).Apply(ctx, req)
	return resp.GetRevision(), err
}

// Snapshot takes a snapshot of the plugin's store.
func (p *Plugin) Snapshot(ctx context.Context, record func(pluginapi.Record) error, tombstone func(pluginapi.Tombstone) error) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pluginv1.NewRetainedStoreServiceClient(p.conn).Snapshot(ctx, &pluginv1.SnapshotRequest{})
	if err != nil {
		return 0, err
	}
	var revision uint64
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return revision, nil
		}
		if err != nil {
			return 0, err
		}
		revision = part.GetRevision()
		if err := records(part.GetRecords(), record); err != nil {
			return 0, err
		}
		for _, t := range part.GetTombstones() {
			if err := tombstone(pluginapi.Tombstone{Topic: t.GetTopic(), Revision: t.GetRevision()}); err != nil {
				return 0, err
			}
		}
	}
}

// Stats asks how full the plugin's store is.
func (p *Plugin) Stats(ctx context.Context) (pluginapi.Stats, error) {
	resp, err := pluginv1.NewRetainedStoreServiceClient(p.conn).Stats(ctx, &pluginv1.StatsRequest{})
	if err != nil {
		return pluginapi.Stats{}, err
	}
	return pluginapi.Stats{
		Messages: resp.GetMessages(), Bytes: resp.GetBytes(), Revision: resp.GetRevision(), Details: resp.GetDetails(),
	}, nil
}
