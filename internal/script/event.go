package script

import (
	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// eventHook makes the hook of a kind of event.
func eventHook(name, short, doc string, kinds []pluginapi.EventKind, more []field) Hook {
	client := func(e *pluginapi.Event) *pluginapi.Client { return e.Client }
	return Hook{
		Name: name, Short: short, Doc: doc, point: pluginapi.HookEvent, events: kinds,
		record: newRecord([]field{
			fieldOf("client_id", "string or None", "The client identifier.",
				func(e *pluginapi.Event) starlark.Value { return optional(e.ClientID) }, assign(toText, func(e *pluginapi.Event, s string) { e.ClientID = s })),
			fieldOf("time", "time", "When it happened.",
				func(e *pluginapi.Event) starlark.Value { return when(e.Time) }, setEventTime),
			fieldOf("sequence", "int", "Counts the events of one client.",
				func(e *pluginapi.Event) starlark.Value { return number(e.Seq) }, assign(toUint[uint64], func(e *pluginapi.Event, n uint64) { e.Seq = n })),
			fieldOf("connection_id", "int", "The number of the connection; that of a later one is larger.",
				func(e *pluginapi.Event) starlark.Value { return number(e.ConnectionID) },
				assign(toUint[uint64], func(e *pluginapi.Event, n uint64) { e.ConnectionID = n })),
		},
			through(without(without(clientFields(), "client_id"), "connection_id"), client),
			through([]field{itemsField()}, client), more),
		fresh: func() any {
			return &pluginapi.Event{
				Kind: kinds[0], ClientID: "client", ConnectionID: 1, Seq: 1, Client: freshClient(),
				Message: freshMessage(), Subscription: &pluginapi.Subscription{Filter: "#"}, Disconnect: pluginapi.ByClient,
			}
		},
	}
}

func setEventTime(e *pluginapi.Event, v starlark.Value) (err error) {
	e.Time, err = toTime(v)
	return err
}

func eventSubscription(fields []field) []field {
	return through(fields, func(e *pluginapi.Event) *pluginapi.Subscription { return e.Subscription })
}

func eventMessage() []field {
	return through(messageFields(), func(e *pluginapi.Event) *pluginapi.Message { return e.Message })
}

// ends are the ways in which a connection ends, by MQTTnet's names.
var ends = map[pluginapi.DisconnectKind]string{
	pluginapi.ByClient: "clean", pluginapi.Lost: "not_clean", pluginapi.ByServer: "not_clean", pluginapi.TakenOver: "takeover",
}

func endFields() []field {
	return []field{
		fieldOf("type", "string", "`clean` after a DISCONNECT, `takeover` if another connection has taken the session over, else `not_clean`.",
			func(e *pluginapi.Event) starlark.Value { return text(ends[e.Disconnect]) },
			func(e *pluginapi.Event, v starlark.Value) error {
				s, _ := starlark.AsString(v)
				for _, k := range []pluginapi.DisconnectKind{pluginapi.ByClient, pluginapi.Lost, pluginapi.TakenOver} {
					if ends[k] == s {
						e.Disconnect = k
						return nil
					}
				}
				return wrong(`"clean", "not_clean" or "takeover"`, v)
			}),
		fieldOf("by_server", "bool", "Whether the broker ended it.",
			func(e *pluginapi.Event) starlark.Value { return starlark.Bool(e.Disconnect == pluginapi.ByServer) },
			func(e *pluginapi.Event, v starlark.Value) error {
				by, err := toBool(v)
				if by {
					e.Disconnect = pluginapi.ByServer
				}
				return err
			}),
		reasonField(), reasonTextField(),
	}
}

func reasonField() field {
	return fieldOf("reason_code", "string", "The reason code that came or was sent.",
		func(e *pluginapi.Event) starlark.Value { return text(reasonName(e.Code)) },
		assign(toReason, func(e *pluginapi.Event, c pluginapi.ReasonCode) { e.Code = c }))
}

func reasonTextField() field {
	return fieldOf("reason_string", "string or None", "Why, in words.",
		func(e *pluginapi.Event) starlark.Value { return optional(e.Reason) }, assign(toText, func(e *pluginapi.Event, s string) { e.Reason = s }))
}

func removedField() field {
	return fieldOf("removed", "bool", "Whether there is no retained message any more.",
		func(e *pluginapi.Event) starlark.Value {
			return starlark.Bool(e.Message == nil || max(e.Message.PayloadSize, len(e.Message.Payload)) == 0)
		},
		unsettable[pluginapi.Event])
}
