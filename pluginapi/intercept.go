package pluginapi

import "context"

// PublishInterceptor decides about published messages. It may change
// call.Message. Messages of one client come one after the other, those of
// different clients at once, up to [Plugin.Workers] of them. An error means that
// it could not decide.
type PublishInterceptor interface {
	InterceptPublish(ctx context.Context, call *PublishCall) (Verdict, error)
}

// SubscribeInterceptor decides about each filter of a SUBSCRIBE. It may change
// call.Subscription; a lower QoS there is what the client is granted.
type SubscribeInterceptor interface {
	InterceptSubscribe(ctx context.Context, call *SubscribeCall) (Verdict, error)
}

// UnsubscribeInterceptor decides about each filter of an UNSUBSCRIBE.
type UnsubscribeInterceptor interface {
	InterceptUnsubscribe(ctx context.Context, call *UnsubscribeCall) (Verdict, error)
}

// DeliverInterceptor decides about each message for each receiver. It may
// change call.Message; nobody else sees the change.
type DeliverInterceptor interface {
	InterceptDeliver(ctx context.Context, call *DeliverCall) (Verdict, error)
}

// BatchInterceptor decides many calls at once, as the broker sends them; it
// takes the place of the four single interfaces. It sets the Verdict of every
// call. Calls of one client are in its order. An error means that it could
// decide none of them.
type BatchInterceptor interface {
	InterceptBatch(ctx context.Context, calls []*Call) error
}

// Call is one thing to decide of a batch. Exactly one of Publish, Subscribe,
// Unsubscribe and Deliver is set.
type Call struct {
	Publish     *PublishCall
	Subscribe   *SubscribeCall
	Unsubscribe *UnsubscribeCall
	Deliver     *DeliverCall

	Verdict Verdict

	place  place
	placed bool // not for a call that a test made
}

// PublishCall is one published message.
type PublishCall struct {
	Client  *Client // nil if the publisher is no connected client; see Message.Origin
	Message *Message
}

// SubscribeCall is one filter of a SUBSCRIBE.
type SubscribeCall struct {
	Client         *Client
	Subscription   Subscription
	UserProperties []UserProperty
}

// UnsubscribeCall is one filter of an UNSUBSCRIBE.
type UnsubscribeCall struct {
	Client         *Client
	Filter         string
	UserProperties []UserProperty
}

// DeliverCall is one message for one receiver.
type DeliverCall struct {
	Client   *Client // the receiver; nil if it is offline
	Receiver string  // its client identifier
	Message  *Message
	Retained bool // a retained message because of a new subscription
}

// VerdictAction is what is to happen with a call.
type VerdictAction uint8

// The actions. Their zero value lets the call pass.
const (
	ActionPass VerdictAction = iota
	ActionDrop
	ActionRefuse
	ActionDisconnect
)

// String names the action in lower case.
func (a VerdictAction) String() string {
	names := [...]string{"pass", "drop", "refuse", "disconnect"}
	if int(a) < len(names) {
		return names[a]
	}
	return "unknown"
}

// Verdict is the answer to a call; see [Pass], [Drop], [Refuse] and
// [DisconnectClient]. The zero value lets it pass.
type Verdict struct {
	Action          VerdictAction
	Code            ReasonCode
	Reason          string
	ServerReference string
	UserProperties  []UserProperty
}

// Pass lets a call go on, with whatever was changed.
func Pass() Verdict { return Verdict{} }

// Drop stops a call and tells the sender that all is well: a message is
// acknowledged and goes nowhere, a subscription is granted and not kept.
func Drop() Verdict { return Verdict{Action: ActionDrop} }

// Refuse stops a call and tells the sender why, as far as its protocol can: code
// 0 means NotAuthorized.
func Refuse(code ReasonCode, reason string) Verdict {
	return Verdict{Action: ActionRefuse, Code: code, Reason: reason}
}

// DisconnectClient stops a call and ends the client's connection: code 0 means
// AdministrativeAction.
func DisconnectClient(code ReasonCode, reason string) Verdict {
	return Verdict{Action: ActionDisconnect, Code: code, Reason: reason}
}
