package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type clientWatchCmd struct {
	adminFlags
	Pattern  string   `arg:"" optional:"" help:"Client identifiers; * is any text, ? one character."`
	Event    []string `help:"Only these, such as connected, disconnected, subscribed, published, delivered, dropped; all without it. Repeatable." placeholder:"EVENT"`
	Topic    []string `help:"Of events with a message only those whose topic matches. Repeatable." placeholder:"FILTER"`
	Payload  uint32   `help:"How many bytes of payloads to show." default:"60" placeholder:"BYTES"`
	Snapshot bool     `help:"Begin with the clients that are connected."`
	Count    int      `help:"End after so many events." placeholder:"N"`
}

// Run prints events.
func (cmd *clientWatchCmd) Run(t *terminal) error {
	req := &adminv1.WatchEventsRequest{
		ClientId: cmd.Pattern, TopicFilters: cmd.Topic, PayloadBytes: cmd.Payload, Snapshot: cmd.Snapshot,
	}
	for _, name := range cmd.Event {
		kind, ok := adminv1.EventKind_value[eventPrefix+strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(name))]
		if !ok || kind == 0 {
			return fmt.Errorf("there is no event %q; there are %s", name, strings.Join(eventNames(), ", "))
		}
		req.Kinds = append(req.Kinds, adminv1.EventKind(kind))
	}
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewEventServiceClient)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	stream, err := client.WatchEvents(ctx, req)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = stream.Close() }()
	seen := 0
	for stream.Receive() {
		msg := stream.Msg()
		if n := msg.GetDropped(); n > 0 {
			fmt.Fprintf(t.err, "%d events were not shown: they came faster than they could be printed\n", n)
		} else if len(msg.GetEvents()) == 0 {
			fmt.Fprintln(t.err, "watching; Ctrl-C ends it")
		}
		for _, e := range msg.GetEvents() {
			if err := cmd.print(t.out, e); err != nil {
				return err
			}
			if seen++; seen == cmd.Count {
				return nil
			}
		}
	}
	if err := stream.Err(); err != nil && ctx.Err() == nil {
		return explain(err)
	}
	return nil
}

const eventPrefix = "EVENT_KIND_"

func eventName(k adminv1.EventKind) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(k.String(), eventPrefix), "_", "-"))
}

func eventNames() []string {
	var names []string
	for k := adminv1.EventKind(1); k < adminv1.EventKind_EVENT_KIND_SNAPSHOT_BEGINS; k++ {
		names = append(names, eventName(k))
	}
	return names
}

func (cmd *clientWatchCmd) print(out io.Writer, e *adminv1.Event) error {
	if cmd.JSON {
		return writeJSONLine(out, e)
	}
	line := []string{time.Unix(0, e.GetTimeUnixNanos()).Format("15:04:05.000"), fmt.Sprintf("%-18s", eventName(e.GetKind())), orDash(printable(e.GetClientId()))}
	add := func(ok bool, format string, args ...any) {
		if ok {
			line = append(line, fmt.Sprintf(format, args...))
		}
	}
	switch e.GetKind() { //nolint:exhaustive // the others are about more than a connection
	case adminv1.EventKind_EVENT_KIND_CONNECTED, adminv1.EventKind_EVENT_KIND_PRESENT, adminv1.EventKind_EVENT_KIND_REFUSED:
		add(e.GetUsername() != "", "user %s", printable(e.GetUsername()))
		add(e.GetAddress() != "", "from %s", e.GetAddress())
	}
	add(e.GetDisconnectedBy() != "", "by %s", e.GetDisconnectedBy())
	if s := e.GetSubscription(); s != nil {
		add(true, "%s %s", printable(s.GetFilter()), subscriptionOptions(s))
	}
	if m := e.GetMessage(); m != nil {
		add(true, "%s QoS %d %s", printable(m.GetTopic()), m.GetQos(),
			preview(&adminv1.RetainedMessage{Payload: m.GetPayload(), PayloadSize: e.GetPayloadSize()}))
	}
	add(e.GetCause() != "", "cause %s", e.GetCause())
	add(e.GetReasonCode() != 0, "%s", reasonCode(e.GetReasonCode()))
	add(e.GetReason() != "", "%s", printable(e.GetReason()))
	_, err := fmt.Fprintln(out, strings.Join(line, "  "))
	return err
}
