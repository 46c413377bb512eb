package hook

import (
	"bytes"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// original is what a call looked like before an interceptor saw it.
type original struct {
	message      *mqtt.Message
	subscription mqtt.Subscription
}

func remember(dst []original, b *Batch) []original {
	for _, c := range b.Calls {
		dst = append(dst, original{c.Message, c.Subscription})
	}
	return dst
}

func restore(before []original, b *Batch) {
	for i, c := range b.Calls {
		before[i].restore(c)
		c.Verdict = CallVerdict{}
	}
}

func (o *original) restore(c *Call) {
	c.Message, c.Subscription = o.message, o.subscription
}

// covers reports whether nothing but what f holds was changed.
func (f Field) covers(changed Field) bool { return changed&^f == 0 }

// changed returns the fields in which c differs from what it was.
func (o *original) changed(c *Call) Field {
	var f Field
	if o.message != c.Message {
		f = Changed(o.message, c.Message)
	}
	if o.subscription != c.Subscription {
		a, b := o.subscription, c.Subscription
		if a.QoS != b.QoS {
			f |= FieldQoS
			a.QoS = b.QoS
		}
		if a != b {
			f |= FieldSubscription
		}
	}
	return f
}

// fieldAuthorized are the fields that grants are about.
const fieldAuthorized = FieldTopic | FieldQoS | FieldRetain | FieldSubscription

// fieldFixed is what no hook may change of a message: its publisher, origin and
// hops. It is in no [Interest].
const fieldFixed Field = 1 << 15

// Changed returns the fields in which two messages differ, and one that is not
// in [FieldAll] for what no hook may change (publisher, origin, hops). The time
// counts where the message expires. A nil message differs from any other in
// everything.
func Changed(a, b *mqtt.Message) Field {
	if a == b {
		return 0
	}
	if a == nil || b == nil {
		return FieldAll | fieldFixed
	}
	var f Field
	mark := func(differs bool, field Field) {
		if differs {
			f |= field
		}
	}
	mark(a.Topic != b.Topic, FieldTopic)
	mark(!bytes.Equal(a.Payload, b.Payload), FieldPayload)
	mark(a.QoS != b.QoS, FieldQoS)
	mark(a.Retain != b.Retain, FieldRetain)
	mark(a.Publisher != b.Publisher || a.Origin != b.Origin || a.Hops != b.Hops, fieldFixed)
	if a.Properties == b.Properties && (a.Properties == nil || a.Created.Equal(b.Created)) {
		return f
	}
	var zero mqtt.Properties
	p, q := a.Properties, b.Properties
	if p == nil {
		p = &zero
	}
	if q == nil {
		q = &zero
	}
	mark(!slices.Equal(p.User, q.User), FieldUser)
	mark(p.HasExpiry != q.HasExpiry || p.Expiry != q.Expiry, FieldExpiry)
	mark(p.HasExpiry && !a.Created.Equal(b.Created), FieldExpiry)
	mark(p.ContentType != q.ContentType || p.EmptyContentType != q.EmptyContentType || p.HasPayloadFormat != q.HasPayloadFormat ||
		p.PayloadIsUTF8 != q.PayloadIsUTF8, FieldContentType)
	mark(p.ResponseTopic != q.ResponseTopic || !bytes.Equal(p.CorrelationData, q.CorrelationData) ||
		(p.CorrelationData == nil) != (q.CorrelationData == nil), FieldResponse)
	return f
}
