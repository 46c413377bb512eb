package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// errValue says that a record is not what this version writes.
var errValue = errors.New("record is damaged or of another version")

// reader takes values off a record. After the first that is not there all are
// zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

// below is a number that is at most limit.
func (r *reader) below(limit uint64) uint64 {
	n := r.number()
	if n > limit {
		r.b, r.bad = nil, true
		return 0
	}
	return n
}

func (r *reader) bytes() []byte {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) time() time.Time {
	n := int64(r.number()) //nolint:gosec // written from one
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// count is the number of things that follow, each at least one byte.
func (r *reader) count() int { return int(r.below(uint64(len(r.b)))) } //nolint:gosec // checked

func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errValue
	}
	return nil
}

func appendBytes[T string | []byte](dst []byte, v T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(v))), v...)
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(t.UnixNano())) //nolint:gosec // read back as one
}

// The flags of a message.
const (
	flagRetain = 1 << iota
	flagProperties
	flagUTF8
	flagFormat
	flagExpiry
	flagEmptyType
	flagCorrelation
)

func appendMessage(dst []byte, m *mqtt.Message) []byte {
	var flags uint64
	set := func(bit uint64, on bool) {
		if on {
			flags |= bit
		}
	}
	set(flagRetain, m.Retain)
	p := m.Properties
	if set(flagProperties, p != nil); p != nil {
		set(flagUTF8, p.PayloadIsUTF8)
		set(flagFormat, p.HasPayloadFormat)
		set(flagExpiry, p.HasExpiry)
		set(flagEmptyType, p.EmptyContentType)
		set(flagCorrelation, p.CorrelationData != nil)
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = append(dst, byte(m.QoS), byte(m.Origin), m.Hops)
	dst = appendTime(dst, m.Created)
	dst = appendBytes(dst, m.Topic)
	dst = appendBytes(dst, m.Payload)
	dst = appendBytes(dst, m.Publisher)
	if p == nil {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(p.Expiry))
	dst = appendBytes(dst, p.ContentType)
	dst = appendBytes(dst, p.ResponseTopic)
	dst = appendBytes(dst, p.CorrelationData)
	dst = binary.AppendUvarint(dst, uint64(len(p.User)))
	for _, u := range p.User {
		dst = appendBytes(appendBytes(dst, u.Key), u.Value)
	}
	return dst
}

func (r *reader) octet() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) qos() mqtt.QoS {
	q := mqtt.QoS(r.octet())
	r.bad = r.bad || !q.Valid()
	return q
}

// message owns its memory.
func (r *reader) message() *mqtt.Message {
	flags := r.number()
	m := &mqtt.Message{Retain: flags&flagRetain != 0}
	m.QoS, m.Origin, m.Hops = r.qos(), mqtt.Origin(r.octet()), r.octet()
	m.Created = r.time()
	m.Topic = r.text()
	m.Payload = slices.Clone(r.bytes())
	m.Publisher = r.text()
	if flags&flagProperties == 0 {
		return m
	}
	p := &mqtt.Properties{
		PayloadIsUTF8: flags&flagUTF8 != 0, HasPayloadFormat: flags&flagFormat != 0, HasExpiry: flags&flagExpiry != 0,
		EmptyContentType: flags&flagEmptyType != 0,
	}
	m.Properties = p
	p.Expiry = uint32(r.below(math.MaxUint32)) //nolint:gosec // checked
	p.ContentType, p.ResponseTopic = r.text(), r.text()
	correlation := r.bytes()
	if flags&flagCorrelation != 0 {
		p.CorrelationData = append([]byte{}, correlation...)
	}
	for range r.count() {
		p.User = append(p.User, mqtt.UserProperty{Key: r.text(), Value: r.text()})
	}
	return m
}

// The flags of a delivery.
const (
	flagDeliveryRetain = 1 << iota
	flagDirect
	flagScreened
	flagVia
	flagShared // the number of the message follows, not the message
)

// appendDelivery writes a record of a queue. The size comes first, so that what is
// not read is known by it.
func appendDelivery(dst []byte, d *mqtt.Delivery) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.Message.Size())) //nolint:gosec // not negative
	var flags byte
	set := func(bit byte, on bool) {
		if on {
			flags |= bit
		}
	}
	set(flagDeliveryRetain, d.Retain)
	set(flagDirect, d.Direct)
	set(flagScreened, d.Screened)
	set(flagVia, d.Via != nil)
	set(flagShared, d.Shared != 0)
	dst = append(dst, flags, byte(d.QoS))
	if d.Shared != 0 {
		dst = binary.AppendUvarint(dst, d.Shared)
	}
	if d.Via != nil {
		dst = appendBytes(dst, d.Via.Group)
		dst = binary.AppendUvarint(dst, uint64(len(d.Via.SubscriptionIDs)))
		for _, id := range d.Via.SubscriptionIDs {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
	}
	if d.Shared == 0 {
		dst = appendMessage(dst, d.Message)
	}
	return dst
}

// head is the beginning of a delivery.
func (r *reader) head() (d mqtt.Delivery, flags byte) {
	r.number()
	flags = r.octet()
	d = mqtt.Delivery{
		QoS: r.qos(), Retain: flags&flagDeliveryRetain != 0, Direct: flags&flagDirect != 0, Screened: flags&flagScreened != 0,
	}
	if flags&flagShared != 0 {
		d.Shared = r.number()
		r.bad = r.bad || d.Shared == 0
	}
	return d, flags
}

// delivery is without its message if that is a shared one.
func (r *reader) delivery() mqtt.Delivery {
	d, flags := r.head()
	if flags&flagVia != 0 {
		v := &mqtt.Via{Group: r.text()}
		for range r.count() {
			v.SubscriptionIDs = append(v.SubscriptionIDs, uint32(r.below(math.MaxUint32))) //nolint:gosec // checked
		}
		d.Via = v
	}
	if flags&flagShared == 0 {
		d.Message = r.message()
	}
	return d
}

func appendSubscription(dst []byte, s *mqtt.Subscription) []byte {
	var flags byte
	if s.NoLocal {
		flags |= 1
	}
	if s.RetainAsPublished {
		flags |= 2
	}
	dst = append(dst, flags, byte(s.QoS), byte(s.RetainHandling))
	return binary.AppendUvarint(dst, uint64(s.ID))
}

func (r *reader) subscription(filter []byte) mqtt.Subscription {
	flags := r.octet()
	return mqtt.Subscription{
		Filter: string(filter), NoLocal: flags&1 != 0, RetainAsPublished: flags&2 != 0,
		QoS: r.qos(), RetainHandling: mqtt.RetainHandling(r.octet()), ID: uint32(r.below(math.MaxUint32)), //nolint:gosec // checked
	}
}

func appendProfile(dst []byte, p *session.Profile) []byte {
	dst = appendBytes(dst, p.ClientID)
	dst = appendBytes(dst, p.Principal)
	dst = appendBytes(dst, p.Mountpoint)
	dst = appendTime(dst, p.Created)
	dst = binary.AppendUvarint(dst, uint64(p.Expiry))
	dst = appendTime(dst, p.Since)
	dst = append(dst, byte(p.Durability))
	dst = binary.AppendUvarint(dst, uint64(len(p.Items)))
	for _, name := range slices.Sorted(maps.Keys(p.Items)) {
		dst = appendBytes(appendBytes(dst, name), p.Items[name])
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.ByServer)))
	for _, f := range p.ByServer {
		dst = appendBytes(dst, f)
	}
	if p.Will == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	dst = binary.AppendUvarint(dst, uint64(p.WillDelay/time.Second)) //nolint:gosec // not negative
	return appendMessage(dst, p.Will)
}

func (r *reader) profile() (p session.Profile) {
	p.ClientID, p.Principal, p.Mountpoint = r.text(), r.text(), r.text()
	p.Created = r.time()
	p.Expiry = uint32(r.below(math.MaxUint32)) //nolint:gosec // checked
	p.Since = r.time()
	p.Durability = session.Durability(r.octet())
	r.bad = r.bad || p.Durability > session.DurabilityNone
	if n := r.count(); n > 0 {
		p.Items = make(map[string][]byte, n)
		for range n {
			name := r.text()
			p.Items[name] = slices.Clone(r.bytes())
		}
	}
	for range r.count() {
		p.ByServer = append(p.ByServer, r.text())
	}
	if r.octet() != 0 {
		p.WillDelay = time.Duration(r.below(math.MaxUint32)) * time.Second //nolint:gosec // checked
		p.Will = r.message()
	}
	return p
}
