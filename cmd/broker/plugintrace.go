package main

import (
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

func (f *adminFlags) debugClient() (adminv1connect.DebugServiceClient, error) {
	hc, err := f.httpClient()
	if err != nil {
		return nil, err
	}
	return adminv1connect.NewDebugServiceClient(hc, "http://broker"), nil
}

// callFlags say which calls are watched.
type callFlags struct {
	Client string        `help:"Only calls that concern this client identifier." placeholder:"ID"`
	Topic  string        `help:"Only topics that match, or filters that overlap, this filter." placeholder:"FILTER"`
	Hook   string        `help:"Only this hook: connect, publish, subscribe, unsubscribe, deliver, event or retain." placeholder:"HOOK"`
	Slow   time.Duration `help:"Only calls that took at least so long." placeholder:"TIME"`
	Count  int           `help:"End after so many calls." placeholder:"N"`
}

func (f *callFlags) request(plugin string, r adminv1.Redaction) *adminv1.WatchCallsRequest {
	return &adminv1.WatchCallsRequest{
		Plugin: plugin, ClientId: f.Client, TopicFilter: f.Topic, Hook: f.Hook, SlowNanos: int64(f.Slow), Redaction: r,
	}
}

// watch calls each for every call and lost for calls that were dropped, until
// somebody presses Ctrl-C, enough was seen, or the broker stops. ready is called
// once calls are seen.
func watch(client adminv1connect.DebugServiceClient, req *adminv1.WatchCallsRequest, count int,
	ready func(), some func([]*adminv1.WatchedCall) error, lost func(uint64),
) error {
	ctx, stop := interruptible()
	defer stop()
	stream, err := client.WatchCalls(ctx, connect.NewRequest(req))
	if err != nil {
		return explain(err)
	}
	defer func() { _ = stream.Close() }()
	for seen := 0; stream.Receive(); {
		msg := stream.Msg()
		if len(msg.GetCalls()) == 0 && msg.GetDropped() == 0 {
			ready()
		}
		if msg.GetDropped() > 0 {
			lost(msg.GetDropped())
		}
		calls := msg.GetCalls()
		if count > 0 {
			calls = calls[:min(len(calls), count-seen)]
		}
		if err := some(calls); err != nil {
			return err
		}
		if seen += len(calls); count > 0 && seen == count {
			return nil
		}
	}
	if err := stream.Err(); err != nil && ctx.Err() == nil {
		return explain(err)
	}
	return nil
}

func writeCalls(w io.Writer, calls []*adminv1.WatchedCall, write func(io.Writer, *adminv1.WatchedCall) error) error {
	for _, c := range calls {
		if err := write(w, c); err != nil {
			return err
		}
	}
	return nil
}

type pluginTraceCmd struct {
	adminFlags
	callFlags
	Name string `arg:"" optional:"" help:"The plugin's name; all of them if it is left out." predictor:"plugin"`
}

// Run prints calls as they are decided.
func (cmd *pluginTraceCmd) Run(t *terminal) error {
	client, err := cmd.debugClient()
	if err != nil {
		return err
	}
	write := printCall
	if cmd.JSON {
		write = func(w io.Writer, c *adminv1.WatchedCall) error { return writeJSONLine(w, c) }
	}
	return watch(client, cmd.request(cmd.Name, adminv1.Redaction_REDACTION_SECRETS), cmd.Count,
		func() { fmt.Fprintln(t.err, "watching; Ctrl-C ends it") },
		func(calls []*adminv1.WatchedCall) error { return writeCalls(t.out, calls, write) },
		func(n uint64) {
			fmt.Fprintf(t.err, "%d calls were not shown: they came faster than they could be printed\n", n)
		})
}
