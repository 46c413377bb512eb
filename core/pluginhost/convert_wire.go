package pluginhost

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

var errMalformed = errors.New("not a well-formed message")

// eachField calls f for every field of a message, in order: with v for a
// varint, with data, which aliases b, for bytes. Fields of other wire types are
// skipped, as a decoder skips what it does not know.
func eachField(b []byte, f func(field protowire.Number, wire byte, v uint64, data []byte) error) error {
	for len(b) > 0 {
		field, wire, n := protowire.ConsumeTag(b)
		if n < 0 || field > protowire.MaxValidNumber {
			return errMalformed
		}
		b = b[n:]
		var v uint64
		var data []byte
		switch wire {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, wire, b)
		}
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if wire != protowire.VarintType && wire != protowire.BytesType {
			continue
		}
		if err := f(field, byte(wire), v, data); err != nil {
			return err
		}
	}
	return nil
}
