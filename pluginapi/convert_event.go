package pluginapi

import (
	"time"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func eventsFromProto(events []*pluginv1.Event) []Event {
	out := make([]Event, len(events))
	for i, e := range events {
		out[i] = Event{
			Kind:         EventKind(e.GetKind()),
			ClientID:     e.GetClientId(),
			ConnectionID: e.GetConnectionId(),
			Seq:          e.GetSeq(),
			Client:       clientFromProto(e.GetClient()),
			Code:         ReasonCode(e.GetReasonCode()),
			Reason:       e.GetReason(),
			Cause:        e.GetCause(),
			Disconnect:   DisconnectKind(e.GetDisconnect()),
		}
		if n := e.GetTimeUnixNanos(); n != 0 {
			out[i].Time = time.Unix(0, n)
		}
		if m := e.GetMessage(); m != nil {
			out[i].Message = messageFromProto(m)
		}
		if s := e.GetSubscription(); s != nil {
			sub := subscriptionFromProto(s)
			out[i].Subscription = &sub
		}
	}
	return out
}
