package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Subscribe is a SUBSCRIBE packet.
type Subscribe struct {
	// ID is the packet identifier, never zero.
	ID uint16

	// SubscriptionID is the Subscription Identifier, 1 to 268,435,455, that
	// holds for all of the Subscriptions; zero is none. MQTT 5.
	SubscriptionID uint32

	// User are the User Properties, nil for none. MQTT 5.
	User []mqtt.UserProperty

	// Subscriptions are in the client's order, at least one. A decoder puts
	// the SubscriptionID into each of them; an encoder takes it from the
	// packet. The syntax of the filters is not checked here.
	Subscriptions []mqtt.Subscription
}

// Type is SUBSCRIBE.
func (*Subscribe) Type() Type { return SUBSCRIBE }
