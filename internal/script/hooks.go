package script

import (
	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// hookID is an index into hooks.
type hookID int

const (
	hookInitialize hookID = iota
	hookDestroy
	hookConnect
	hookPublish
	hookSubscribe
	hookUnsubscribe
	hookDeliver
	hookConnected
	hookDisconnected
	hookSubscribed
	hookUnsubscribed
	hookAcknowledged
	hookRetained
	numHooks
)

// Hook is a function that a script may define.
type Hook struct {
	// Name of the function.
	Name string
	// Short is its name on the command line and in functions for tests.
	Short string
	// Doc says when it is called.
	Doc string

	record *record // nil: it is called without a context
	fresh  func() any
	point  pluginapi.Hook
	events []pluginapi.EventKind
}

// hooks are all hooks, in the order of hookID.
var hooks = [numHooks]Hook{
	hookInitialize: {
		Name: "initialize", Short: "initialize",
		Doc: "Called once before any other function of the scripts, when the plugin starts and after scripts were saved. If it fails, the scripts are not used.",
	},
	hookDestroy: {
		Name: "destroy", Short: "destroy",
		Doc: "Called before the plugin stops, and before `initialize` of scripts that take the place of these.",
	},
	hookConnect: {
		Name: "on_validate_client_connection", Short: "connect", point: pluginapi.HookConnect,
		Doc:    "Decides who may connect, before anything is done with a session.",
		record: newRecord(connectFields(), connectProperties(), decisionFields()),
		fresh:  func() any { return &connecting{Connect: freshConnect()} },
	},
	hookPublish: {
		Name: "on_intercept_application_message", Short: "publish", point: pluginapi.HookPublish,
		Doc: "Decides what becomes of a published message, before it is retained, routed or acknowledged. Wills, and what the broker and plugins publish, come by here too.",
		record: newRecord(
			through(clientFields(), func(p *publishing) *pluginapi.Client { return p.call.Client }),
			[]field{writableField(through([]field{itemsField()}, func(p *publishing) *pluginapi.Client { return p.call.Client })[0])},
			writable(through(messageFields(), func(p *publishing) *pluginapi.Message { return p.call.Message }), theBrokers...),
			through(answerFields("accept_publish", "goes on"), func(p *publishing) *answer { return &p.answer }),
		),
		fresh: func() any {
			return &publishing{answer: accepted, call: &pluginapi.PublishCall{Client: freshClient(), Message: freshMessage()}}
		},
	},
	hookSubscribe: {
		Name: "on_intercept_subscription", Short: "subscribe", point: pluginapi.HookSubscribe,
		Doc: "Decides about each filter of a SUBSCRIBE.",
		record: newRecord(
			through(clientFields(), func(p *subscribing) *pluginapi.Client { return p.call.Client }),
			[]field{writableField(through([]field{itemsField()}, func(p *subscribing) *pluginapi.Client { return p.call.Client })[0])},
			writable(through(subscriptionFields(), func(p *subscribing) *pluginapi.Subscription { return &p.call.Subscription })),
			through([]field{propertiesOf("SUBSCRIBE")}, func(p *subscribing) *[]pluginapi.UserProperty { return &p.call.UserProperties }),
			through(answerFields("accept_subscription", "is made"), func(p *subscribing) *answer { return &p.answer }),
		),
		fresh: func() any {
			return &subscribing{answer: accepted, call: &pluginapi.SubscribeCall{Client: freshClient(), Subscription: pluginapi.Subscription{Filter: "#"}}}
		},
	},
	hookUnsubscribe: {
		Name: "on_intercept_unsubscription", Short: "unsubscribe", point: pluginapi.HookUnsubscribe,
		Doc: "Decides about each filter of an UNSUBSCRIBE.",
		record: newRecord(
			through(clientFields(), func(p *unsubscribing) *pluginapi.Client { return p.call.Client }),
			[]field{writableField(through([]field{itemsField()}, func(p *unsubscribing) *pluginapi.Client { return p.call.Client })[0])},
			[]field{fieldOf("topic", "string", "The topic filter.",
				func(p *unsubscribing) starlark.Value { return text(p.call.Filter) }, assign(toText, func(p *unsubscribing, s string) { p.call.Filter = s }))},
			through([]field{propertiesOf("UNSUBSCRIBE")}, func(p *unsubscribing) *[]pluginapi.UserProperty { return &p.call.UserProperties }),
			through(answerFields("accept_unsubscription", "is undone"), func(p *unsubscribing) *answer { return &p.answer }),
		),
		fresh: func() any {
			return &unsubscribing{answer: accepted, call: &pluginapi.UnsubscribeCall{Client: freshClient(), Filter: "#"}}
		},
	},
	hookDeliver: {
		Name: "on_deliver", Short: "deliver", point: pluginapi.HookDeliver,
		Doc: "Decides about each message on its way to one receiver, after grants and before it is queued for a connected receiver, or sent to one that comes back. Nobody else sees what it changes.",
		record: newRecord(
			[]field{
				fieldOf("client_id", "string", "The client identifier of the receiver.",
					func(d *delivering) starlark.Value { return text(d.call.Receiver) }, assign(toText, func(d *delivering, s string) { d.call.Receiver = s })),
				fieldOf("is_retained_message", "bool", "Whether it is a retained message because of a new subscription.",
					func(d *delivering) starlark.Value { return starlark.Bool(d.call.Retained) }, assign(toBool, func(d *delivering, b bool) { d.call.Retained = b })),
			},
			through(without(clientFields(), "client_id"), func(d *delivering) *pluginapi.Client { return d.call.Client }),
			through([]field{itemsField()}, func(d *delivering) *pluginapi.Client { return d.call.Client }),
			writable(through(messageFields(), func(d *delivering) *pluginapi.Message { return d.call.Message }), theBrokers...),
			through(deliveryFields(), func(d *delivering) *answer { return &d.answer }),
		),
		fresh: func() any {
			return &delivering{answer: accepted, call: &pluginapi.DeliverCall{Client: freshClient(), Receiver: "client", Message: freshMessage()}}
		},
	},
	hookConnected: eventHook("on_client_connected", "connected", "Called after a client has connected.",
		[]pluginapi.EventKind{pluginapi.EventConnected}, nil),
	hookDisconnected: eventHook("on_client_disconnected", "disconnected", "Called after a connection has ended.",
		[]pluginapi.EventKind{pluginapi.EventDisconnected}, endFields()),
	hookSubscribed: eventHook("on_client_subscribed_topic", "subscribed", "Called after a client has subscribed to a filter.",
		[]pluginapi.EventKind{pluginapi.EventSubscribed}, eventSubscription(subscriptionFields())),
	hookUnsubscribed: eventHook("on_client_unsubscribed_topic", "unsubscribed", "Called after a subscription was undone.",
		[]pluginapi.EventKind{pluginapi.EventUnsubscribed}, eventSubscription(subscriptionFields()[:1])),
	hookAcknowledged: eventHook("on_acknowledged", "acknowledged", "Called after a receiver has acknowledged a message of QoS 1 or 2: PUBACK or PUBCOMP.",
		[]pluginapi.EventKind{pluginapi.EventAcknowledged}, append(eventMessage(), reasonField(), reasonTextField())),
	hookRetained: eventHook("on_retained_changed", "retained", "Called after the retained message of a topic was set or removed, and once if all were; then `topic` is `None`.",
		[]pluginapi.EventKind{pluginapi.EventRetainedChanged, pluginapi.EventRetainedCleared}, append(eventMessage(), removedField())),
}

func hookNamed(name string) *Hook {
	for i := range hooks {
		if hooks[i].Name == name {
			return &hooks[i]
		}
	}
	return nil
}

func without(fields []field, name string) []field {
	var out []field
	for _, f := range fields {
		if f.Name != name {
			out = append(out, f)
		}
	}
	return out
}

func writableField(f field) field {
	f.Writable = true
	return f
}

// propertiesOf are the user properties of a packet, which can't be changed.
func propertiesOf(packet string) field {
	return kept(fieldOf("user_properties", "list of (name, value)", "MQTT 5: those of the "+packet+".",
		func(p *[]pluginapi.UserProperty) starlark.Value { return properties(*p) },
		assign(toProperties, func(p *[]pluginapi.UserProperty, list []pluginapi.UserProperty) { *p = list })))
}
