package hook

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Interceptor stands in the way of messages and subscriptions: it lets them
// pass, changes, drops or refuses them, or disconnects the client.
//
// Intercept decides a whole batch. It is called from the goroutine of the
// client that acts, so from many at once, and holds only that client back. It
// writes its verdicts into the calls of the batch. If it returns an error, it
// has decided none of them and must have changed none; what then happens is
// the policy's business. The batch and its calls are the caller's again after
// the return; messages may be kept, for they are immutable.
type Interceptor interface {
	Intercept(ctx context.Context, b *Batch) error
}

// InterceptorFunc adapts a function to [Interceptor].
type InterceptorFunc func(ctx context.Context, b *Batch) error

// Intercept calls f.
func (f InterceptorFunc) Intercept(ctx context.Context, b *Batch) error { return f(ctx, b) }

// Point is a place in the broker at which hooks are called.
type Point uint8

// The points. PointConnect and PointEvent only appear in an [Interest].
const (
	PointConnect Point = iota
	PointPublish
	PointSubscribe
	PointUnsubscribe
	PointDeliver
	PointEvent
	PointRetain
	NumPoints // how many there are
)

// String names the point in lower case.
func (p Point) String() string {
	names := [...]string{"connect", "publish", "subscribe", "unsubscribe", "deliver", "event", "retain"}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// Batch is a run of calls of one kind, those of one client in its order.
type Batch struct {
	Point Point // PointPublish, PointSubscribe, PointUnsubscribe or PointDeliver
	Calls []*Call

	// Lent says that the payloads of the messages are lent: whoever keeps one
	// after Intercept has returned keeps a copy. Only a [Borrower] sees it set.
	Lent bool

	// DecidedBy is set by an interceptor whose interests have changed since it
	// was chosen for the batch: what it may change is in these. Nil: in those by
	// which it was chosen.
	DecidedBy []Interest

	// Answerable is set by an interceptor that wants to be told of a change that
	// it may not make. Nil: it does not.
	Answerable Answerable
}

// Borrower is a companion of interceptors that keep no message of a batch. A
// changed clone may have the payload of what it was made of, whether that is lent
// or not.
type Borrower interface{ Borrows() bool }

// own gives every call a message of its own, which may be kept.
func (b *Batch) own() {
	for _, c := range b.Calls {
		c.Message = c.Message.Kept()
	}
	b.Lent = false
}

// Answerable is told what a hook changed although it may not. The call is
// refused in any case. It must not block.
type Answerable interface{ Overstepped(changed Field) }

// Call is one thing to decide: what is asked, then the verdict.
type Call struct {
	// Client is who acts: the publisher, the subscriber, or the receiver of a
	// delivery. nil for the server API, plugins, wills, and the session of an
	// offline receiver.
	Client *Client

	// Message is what was published or is to be delivered; for a delivery its
	// QoS and Retain are those of this delivery. An interceptor that wants to
	// change it replaces the pointer by a changed clone.
	Message *mqtt.Message

	// Receiver is the receiver's client identifier, for a delivery.
	Receiver string

	// Retained says that the delivery is a retained message sent because of a
	// new subscription.
	Retained bool

	// Subscription is the filter with its options, for subscribe and, Filter
	// alone, for unsubscribe. An interceptor may change that of a subscribe in
	// place.
	Subscription mqtt.Subscription

	// User are the user properties of the SUBSCRIBE or UNSUBSCRIBE; read only.
	User []mqtt.UserProperty

	// ToAuthorize is what was changed of that which grants are about, by
	// interceptors that are not exempt. The chain writes it, the broker reads
	// it.
	ToAuthorize Field

	Verdict CallVerdict
}

// CallVerdict is the answer to a call. The zero value lets it pass.
type CallVerdict struct {
	Action          CallAction
	Code            mqtt.ReasonCode // 0: NotAuthorized, or AdministrativeAction for Disconnect
	Reason          string
	ServerReference string // for Disconnect
	User            []mqtt.UserProperty

	// By names the interceptor that did not let the call pass, and Failed says
	// that it could not decide and its policy did; both are filled by the
	// chain.
	By     string
	Failed bool
}

// CallAction is what is to happen with a call.
type CallAction uint8

// The actions. A call that does not pass is not shown to later interceptors.
const (
	Pass       CallAction = iota
	Drop                  // go no further; tell the sender that all is well
	Refuse                // go no further; tell the sender why
	Disconnect            // go no further; end the client's connection
)

// String names the action in lower case.
func (a CallAction) String() string {
	names := [...]string{"pass", "drop", "refuse", "disconnect"}
	if int(a) < len(names) {
		return names[a]
	}
	return "unknown"
}
