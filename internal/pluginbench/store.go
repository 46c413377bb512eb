package pluginbench

import (
	"context"
	"errors"
	"fmt"
	"io"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// topics is how many different topics are written to.
const topics = 10_000

// store measures batches of changes, one after the other as the broker sends
// them, and reading all that was written. What it wrote is cleared in the end.
func (b *bench) store() {
	api := pluginv1.NewRetainedStoreServiceClient(b.Conn)
	records, revision, err := load(b.ctx, api)
	if err == nil && records > 0 && !b.Erase {
		err = fmt.Errorf("the store has %d messages already: give it a configuration with one of its own, or --erase to lose them", records)
	}
	if err != nil {
		b.report(Row{Hook: "retain", Way: "unary", Batch: 1, Callers: 1, OwnCPU: -1, PluginCPU: -1, Error: err.Error()})
		return
	}
	written := 0
	for _, size := range batches {
		b.unary(Row{Hook: "retain", Batch: size, Callers: 1}, func(ctx context.Context, _, _ int) error {
			changes := make([]*pluginv1.Change, size)
			for i := range changes {
				revision++
				written++
				m := b.message("#", 0)
				m.Topic, m.Retain = fmt.Sprintf("bench/%d", written%topics), true
				changes[i] = &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_PUT, Message: m, Revision: revision}
			}
			_, err := api.Apply(ctx, &pluginv1.ApplyRequest{Changes: changes})
			return err
		})
	}
	b.unary(Row{Hook: "load", Batch: min(written, topics), Callers: 1}, func(ctx context.Context, _, _ int) error {
		_, _, err := load(ctx, api)
		return err
	})
	_, _ = api.Apply(b.ctx, &pluginv1.ApplyRequest{Changes: []*pluginv1.Change{
		{Op: pluginv1.ChangeOp_CHANGE_OP_CLEAR, Revision: revision + 1},
	}})
}

// load reads everything.
func load(ctx context.Context, api pluginv1.RetainedStoreServiceClient) (records int, revision uint64, err error) {
	stream, err := api.Load(ctx, &pluginv1.LoadRequest{})
	if err != nil {
		return 0, 0, err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return records, revision, nil
		}
		if err != nil {
			return 0, 0, err
		}
		records += len(part.GetRecords())
		revision = max(revision, part.GetRevision())
		for _, r := range part.GetRecords() {
			revision = max(revision, r.GetRevision())
		}
	}
}
