package pluginhost

import (
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// maxReplyParts bounds what one answer may be made of: ranges, verdicts and
// user properties. Two bytes of an answer become up to two hundred in memory, so
// that its size alone is no bound.
const maxReplyParts = 1 << 17

var errTooManyParts = errors.New("an answer of too many parts")

// reply is a decoded InterceptStreamResponse or InterceptResponse, which have
// the same fields. It is reused from answer to answer; the verdicts own their
// memory.
type reply struct {
	passed   []seqRange
	verdicts []seqVerdict
	parts    int
}

// seqRange says that calls pass unchanged.
type seqRange struct {
	first uint64
	count uint32
}

type seqVerdict struct {
	seq     uint64
	verdict *verdict
}

// verdict is what a plugin says about one call, well formed but not checked:
// what is legal depends on the call, see [verdict.check].
type verdict struct {
	action          int32
	code            uint32
	reason          string
	serverReference string
	user            []mqtt.UserProperty
	change          *messageChange
	subscription    *subscriptionChange
}

// messageChange is a MessageChange. A bit in has says that the field with that
// number is present.
type messageChange struct {
	has             uint32
	topic           string
	payload         []byte
	qos             uint32
	retain          bool
	payloadIsUTF8   bool
	expiry          uint32
	contentType     string
	responseTopic   string
	correlationData []byte
	user            []mqtt.UserProperty
	clearExpiry     bool
	clearFormat     bool
}

// The fields of a MessageChange that may be present.
const (
	changeTopic           = 1 << 1
	changePayload         = 1 << 2
	changeQoS             = 1 << 3
	changeRetain          = 1 << 4
	changePayloadIsUTF8   = 1 << 5
	changeExpiry          = 1 << 6
	changeContentType     = 1 << 7
	changeResponseTopic   = 1 << 8
	changeCorrelationData = 1 << 9
	changeUser            = 1 << 10
)

// subscriptionChange is a Subscription as a plugin answers it.
type subscriptionChange struct {
	filter            string
	qos               uint32
	noLocal           bool
	retainAsPublished bool
	retainHandling    uint32
	identifier        uint32
}

// read decodes an answer. It implements [incoming].
func (r *reply) read(b []byte) error {
	clear(r.verdicts) // forgets what the last answer held
	r.passed, r.verdicts, r.parts = r.passed[:0], r.verdicts[:0], 0
	return eachField(b, func(field protowire.Number, wire byte, _ uint64, data []byte) error {
		switch {
		case field == 1 && wire == wireBytes:
			return r.readRange(data)
		case field == 2 && wire == wireBytes:
			return r.readVerdict(data)
		}
		return nil
	})
}

// part counts one part of the answer.
func (r *reply) part() error {
	r.parts++
	if r.parts > maxReplyParts {
		return errTooManyParts
	}
	return nil
}

func (r *reply) readRange(b []byte) error {
	var s seqRange
	err := eachField(b, func(field protowire.Number, wire byte, v uint64, _ []byte) error {
		switch {
		case field == 1 && wire == wireVarint:
			s.first = v
		case field == 2 && wire == wireVarint:
			s.count = uint32(v & math.MaxUint32)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.passed = append(r.passed, s)
	return r.part()
}

func (r *reply) readVerdict(b []byte) error {
	var seq uint64
	v := new(verdict)
	err := eachField(b, func(field protowire.Number, wire byte, n uint64, data []byte) error {
		if wire == wireBytes {
			return r.readVerdictPart(v, field, data)
		}
		switch field {
		case 1:
			seq = n
		case 2:
			v.action = int32(n & math.MaxUint32)
		case 3:
			v.code = uint32(n & math.MaxUint32)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.verdicts = append(r.verdicts, seqVerdict{seq, v})
	return r.part()
}

func (r *reply) readVerdictPart(v *verdict, field protowire.Number, data []byte) error {
	switch field {
	case 4:
		v.reason = string(data)
	case 5:
		return r.readUser(&v.user, data)
	case 6:
		if v.change == nil {
			v.change = new(messageChange)
		}
		return r.readChange(v.change, data)
	case 7:
		if v.subscription == nil {
			v.subscription = new(subscriptionChange)
		}
		return v.subscription.read(data)
	case 8:
		v.serverReference = string(data)
	}
	return nil
}

func (r *reply) readUser(dst *[]mqtt.UserProperty, b []byte) error {
	var u mqtt.UserProperty
	err := eachField(b, func(field protowire.Number, wire byte, _ uint64, data []byte) error {
		switch {
		case field == 1 && wire == wireBytes:
			u.Key = string(data)
		case field == 2 && wire == wireBytes:
			u.Value = string(data)
		}
		return nil
	})
	if err != nil {
		return err
	}
	*dst = append(*dst, u)
	return r.part()
}

func (r *reply) readChange(c *messageChange, b []byte) error {
	return eachField(b, func(field protowire.Number, wire byte, v uint64, data []byte) error {
		if wire == wireBytes {
			return r.readChangedBytes(c, field, data)
		}
		switch field {
		case 3:
			c.qos = uint32(v & math.MaxUint32)
		case 4:
			c.retain = protowire.DecodeBool(v)
		case 5:
			c.payloadIsUTF8 = protowire.DecodeBool(v)
		case 6:
			c.expiry = uint32(v & math.MaxUint32)
		case 11:
			c.clearExpiry = protowire.DecodeBool(v)
			return nil
		case 12:
			c.clearFormat = protowire.DecodeBool(v)
			return nil
		default:
			return nil
		}
		c.has |= 1 << field
		return nil
	})
}

// readChangedBytes copies what it keeps: a payload lives on in the retained
// index and in queues, and must not hold a whole answer in memory.
func (r *reply) readChangedBytes(c *messageChange, field protowire.Number, data []byte) error {
	switch field {
	case 1:
		c.topic = string(data)
	case 2:
		c.payload = append(make([]byte, 0, len(data)), data...)
	case 7:
		c.contentType = string(data)
	case 8:
		c.responseTopic = string(data)
	case 9:
		c.correlationData = append(make([]byte, 0, len(data)), data...)
	case 10:
		c.has |= changeUser
		return eachField(data, func(field protowire.Number, wire byte, _ uint64, data []byte) error {
			if field == 1 && wire == wireBytes {
				return r.readUser(&c.user, data)
			}
			return nil
		})
	default:
		return nil
	}
	c.has |= 1 << field
	return nil
}

func (s *subscriptionChange) read(b []byte) error {
	return eachField(b, func(field protowire.Number, wire byte, v uint64, data []byte) error {
		if wire == wireBytes {
			if field == 1 {
				s.filter = string(data)
			}
			return nil
		}
		switch field {
		case 2:
			s.qos = uint32(v & math.MaxUint32)
		case 3:
			s.noLocal = protowire.DecodeBool(v)
		case 4:
			s.retainAsPublished = protowire.DecodeBool(v)
		case 5:
			s.retainHandling = uint32(v & math.MaxUint32)
		case 6:
			s.identifier = uint32(v & math.MaxUint32)
		}
		return nil
	})
}
