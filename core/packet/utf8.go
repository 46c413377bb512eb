package packet

import (
	"bytes"
	"unicode/utf8"
)

// validText reports whether b may stand in a UTF-8 Encoded String: well-formed
// UTF-8, which has neither surrogates nor overlong forms [MQTT-1.5.4-1], and
// no U+0000 [MQTT-1.5.4-2]. Other control characters and the non-characters
// are only advised against; they pass.
func validText(b []byte) bool {
	return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b)
}
