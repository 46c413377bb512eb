package mqtt

// Delivery is one message on its way to one receiver: the shared message and
// what differs from receiver to receiver. It is small, for queues are made of
// it.
type Delivery struct {
	Message *Message

	// Via says by which subscriptions the receiver was found; nil if there is
	// nothing to say of them. It is immutable.
	Via *Via

	// Shared is a number of the message, if it is put into several queues that
	// outlive the broker: it is stored once under it. 0 for none. A delivery
	// whose message is replaced has none.
	Shared uint64

	// QoS is the lower of the published and the granted quality of service
	// [MQTT-3.8.4-8].
	QoS QoS

	// Retain is the RETAIN flag to send, by Retain As Published and by whether
	// this is a retained message sent because of a new subscription
	// [MQTT-3.3.1-8] [MQTT-3.3.1-12].
	Retain bool

	// Direct says that the server API put it into this receiver's queue:
	// neither subscriptions nor grants matter to it.
	Direct bool

	// Screened says that grants and deliver hooks have let this delivery pass;
	// one that was queued for an offline session is screened when it is sent.
	Screened bool

	// Watched says that somebody waits to be told what becomes of this very
	// Message: it is not replaced by an equal one.
	Watched bool
}

// Via is what is told, or has to be known, of the subscriptions by which a
// receiver was found.
type Via struct {
	// SubscriptionIDs are the Subscription Identifiers of all subscriptions
	// that matched, in no particular order [MQTT-3.3.4-3].
	SubscriptionIDs []uint32

	// Group is "group/filter" of the shared subscription that chose the
	// receiver, so that another member can be given the message if this one's
	// session ends; "" otherwise.
	Group string
}

// SubscriptionIDs returns those of Via; nil if there are none.
func (d *Delivery) SubscriptionIDs() []uint32 {
	if d.Via == nil {
		return nil
	}
	return d.Via.SubscriptionIDs
}

// Group returns that of Via; "" if there is none.
func (d *Delivery) Group() string {
	if d.Via == nil {
		return ""
	}
	return d.Via.Group
}
