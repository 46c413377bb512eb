package users

import (
	"math"
	"strconv"

	"github.com/goccy/go-yaml/ast"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// limits reads the limits of a user. Ranges are those of MQTT 5 where it has
// them; 0 is refused where it would mean "none at all" to some readers and
// "no limit" to others.
func (r *reader) limits(n ast.Node, l *pluginapi.Limits) {
	r.mapping(n, "limits",
		field{"keep_alive", func(v ast.Node) { l.KeepAlive = seconds[uint16](r, v, "keep_alive", 1) }},
		field{"session_expiry", func(v ast.Node) { l.SessionExpiry = seconds[uint32](r, v, "session_expiry", 0) }},
		field{"receive_maximum", func(v ast.Node) { l.ReceiveMaximum = number[uint16](r, v, "receive_maximum", 1, math.MaxUint16) }},
		field{"max_packet_size", func(v ast.Node) { l.MaximumPacketSize = size[uint32](r, v, "max_packet_size", math.MaxUint32) }},
		field{"max_qos", func(v ast.Node) { l.MaximumQoS = r.qos(v) }},
		field{"topic_alias_maximum", func(v ast.Node) {
			l.TopicAliasMaximum = number[uint16](r, v, "topic_alias_maximum", 0, math.MaxUint16)
		}},
		field{"queue_messages", func(v ast.Node) { l.QueueMessages = number[uint32](r, v, "queue_messages", 1, math.MaxUint32) }},
		field{"queue_bytes", func(v ast.Node) { l.QueueBytes = size[uint64](r, v, "queue_bytes", math.MaxInt64) }},
		field{"messages_per_second", func(v ast.Node) { l.MessagesPerSecond = r.rate(v, "messages_per_second") }},
		field{"bytes_per_second", func(v ast.Node) { l.BytesPerSecond = r.byteRate(v) }},
		field{"subscriptions", func(v ast.Node) { l.Subscriptions = number[uint32](r, v, "subscriptions", 0, math.MaxUint32) }},
	)
}

type unsigned interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64
}

// number reads an integer between two bounds; nil, with a problem, if it is
// none.
func number[T unsigned](r *reader, n ast.Node, what string, low, high uint64) *T {
	if i, ok := n.(*ast.IntegerNode); ok {
		if v, ok := i.Value.(uint64); ok && v >= low && v <= high {
			t := T(v)
			return &t
		}
	}
	r.complain(n, "%s must be a number from %d to %d", what, low, high)
	return nil
}

// seconds reads a duration of whole seconds that fits T.
func seconds[T unsigned](r *reader, n ast.Node, what string, low uint64) *T {
	s, ok := r.text(n, what)
	if !ok {
		return nil
	}
	v, err := parseSeconds(s)
	high := uint64(^T(0))
	switch {
	case err != nil:
		r.complain(n, "%s %v", what, err)
		return nil
	case v < low || v > high:
		r.complain(n, "%s must be %d to %d seconds", what, low, high)
		return nil
	}
	t := T(v)
	return &t
}

// size reads a positive number of bytes.
func size[T unsigned](r *reader, n ast.Node, what string, high uint64) *T {
	s, ok := r.text(n, what)
	if !ok {
		return nil
	}
	v, err := parseBytes(s)
	switch {
	case err != nil:
		r.complain(n, "%s %v", what, err)
		return nil
	case v < 1 || v > high:
		r.complain(n, "%s must be 1 to %d bytes", what, high)
		return nil
	}
	t := T(v)
	return &t
}

// rate reads a positive number, not necessarily whole.
func (r *reader) rate(n ast.Node, what string) *float64 {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		v, err := strconv.ParseFloat(n.GetToken().Value, 64)
		if err == nil && v > 0 && !math.IsInf(v, 0) {
			return &v
		}
	}
	r.complain(n, "%s must be a number above 0", what)
	return nil
}

// byteRate reads bytes per second, as a size.
func (r *reader) byteRate(n ast.Node) *float64 {
	v := size[uint64](r, n, "bytes_per_second", math.MaxInt64)
	if v == nil {
		return nil
	}
	f := float64(*v)
	return &f
}

// qos reads a quality of service.
func (r *reader) qos(n ast.Node) *pluginapi.QoS {
	return number[pluginapi.QoS](r, n, "max_qos", 0, 2)
}
