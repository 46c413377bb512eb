package hook

import "cmp"

// Narrow returns the stricter of both in every field.
func (l Limits) Narrow(m Limits) Limits {
	return Limits{
		KeepAlive:          stricter(l.KeepAlive, m.KeepAlive),
		SessionExpiry:      stricter(l.SessionExpiry, m.SessionExpiry),
		ReceiveMaximum:     stricter(l.ReceiveMaximum, m.ReceiveMaximum),
		MaximumPacketSize:  stricter(l.MaximumPacketSize, m.MaximumPacketSize),
		MaximumQoS:         stricter(l.MaximumQoS, m.MaximumQoS),
		TopicAliasMaximum:  stricter(l.TopicAliasMaximum, m.TopicAliasMaximum),
		QueueMessages:      stricter(l.QueueMessages, m.QueueMessages),
		QueueBytes:         stricter(l.QueueBytes, m.QueueBytes),
		MessagesPerSecond:  stricter(l.MessagesPerSecond, m.MessagesPerSecond),
		BytesPerSecond:     stricter(l.BytesPerSecond, m.BytesPerSecond),
		SubscriptionsCount: stricter(l.SubscriptionsCount, m.SubscriptionsCount),
	}
}

func stricter[T cmp.Ordered](a, b *T) *T {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}
