package script

import (
	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// What scripts are asked about, with what they answer.
type (
	publishing struct {
		call *pluginapi.PublishCall
		answer
	}
	subscribing struct {
		call *pluginapi.SubscribeCall
		answer
	}
	unsubscribing struct {
		call *pluginapi.UnsubscribeCall
		answer
	}
	delivering struct {
		call *pluginapi.DeliverCall
		answer
	}
)

// answer is what scripts say about a call.
type answer struct {
	accept, close bool
	code          *pluginapi.ReasonCode
	reason        string
	server        string
	properties    []pluginapi.UserProperty
}

// accepted is the answer of who says nothing.
var accepted = answer{accept: true}

// answerFields are those with which a script answers.
func answerFields(accept, goesOn string) []field {
	return writable([]field{
		fieldOf(accept, "bool", "Whether it "+goesOn+". If not, the client is told why, as far as its version of MQTT can.",
			func(a *answer) starlark.Value { return starlark.Bool(a.accept) }, assign(toBool, func(a *answer, b bool) { a.accept = b })),
		closeField(),
		fieldOf("reason_code", "string or None",
			"Why it is refused: the name of a reason code, or its number. One that says failure refuses by itself; without one it is `not_authorized`. With `success`, what is not accepted is dropped and the client is told that all is well.",
			func(a *answer) starlark.Value {
				if a.code == nil {
					return starlark.None
				}
				return text(reasonName(*a.code))
			}, func(a *answer, v starlark.Value) error {
				a.code = nil
				if v == starlark.None {
					return nil
				}
				code, err := toReason(v)
				if err == nil {
					a.code = &code
				}
				return err
			}),
		fieldOf("reason_string", "string or None", "MQTT 5: why, in words.",
			func(a *answer) starlark.Value { return optional(a.reason) }, assign(toText, func(a *answer, s string) { a.reason = s })),
		fieldOf("server_reference", "string or None", "MQTT 5: another server, for a client whose connection is closed.",
			func(a *answer) starlark.Value { return optional(a.server) }, assign(toText, func(a *answer, s string) { a.server = s })),
		kept(fieldOf("response_user_properties", "list of (name, value)", "MQTT 5: the user properties of the acknowledgement.",
			func(a *answer) starlark.Value { return properties(a.properties) },
			assign(toProperties, func(a *answer, p []pluginapi.UserProperty) { a.properties = p }))),
	})
}

// deliveryFields are those about a delivery, which nobody is told of.
func deliveryFields() []field {
	return writable([]field{
		fieldOf("accept_delivery", "bool", "Whether this receiver gets the message.",
			func(a *answer) starlark.Value { return starlark.Bool(a.accept) }, assign(toBool, func(a *answer, b bool) { a.accept = b })),
		closeField(),
	})
}

func closeField() field {
	return fieldOf("close_connection", "bool", "Whether the client is disconnected; then nothing else becomes of it.",
		func(a *answer) starlark.Value { return starlark.Bool(a.close) }, assign(toBool, func(a *answer, b bool) { a.close = b }))
}

// verdict is what the answer means.
func (a *answer) verdict() pluginapi.Verdict {
	v := pluginapi.Verdict{Reason: a.reason, ServerReference: a.server, UserProperties: a.properties}
	failed := a.code != nil && a.code.Failed()
	if failed {
		v.Code = *a.code
	}
	switch {
	case a.close:
		v.Action = pluginapi.ActionDisconnect
	case failed, !a.accept && a.code == nil:
		v.Action = pluginapi.ActionRefuse
		if v.Code == 0 {
			v.Code = pluginapi.NotAuthorized
		}
	case !a.accept:
		v = pluginapi.Drop()
	default:
		v.Reason, v.ServerReference = "", ""
	}
	return v
}

// deliveryVerdict is what it means for a delivery.
func (a *answer) deliveryVerdict() pluginapi.Verdict {
	switch {
	case a.close:
		return pluginapi.DisconnectClient(0, "")
	case !a.accept:
		return pluginapi.Drop()
	}
	return pluginapi.Pass()
}

func freshConnect() *pluginapi.Connect {
	return &pluginapi.Connect{
		ConnectionID: 1, ClientID: "client", Protocol: 5, CleanStart: true, PeerAddress: "192.0.2.1:50000",
		LocalAddress: "192.0.2.100:1883", Listener: "default", Transport: "tcp", RequestProblemInfo: true,
	}
}

func freshClient() *pluginapi.Client {
	return &pluginapi.Client{ConnectionID: 1, ID: "client", Protocol: 5, PeerAddress: "192.0.2.1:50000", Listener: "default"}
}

func freshMessage() *pluginapi.Message {
	return &pluginapi.Message{Topic: "topic", Publisher: "client", Origin: pluginapi.FromClient}
}
