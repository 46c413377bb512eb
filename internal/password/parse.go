package password

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// decodeBase64 decodes s strictly: no line breaks, no stray bits, so that one
// hash has one spelling. The error says what is wrong with which part and does
// not repeat s.
func decodeBase64(enc *base64.Encoding, part, s string, minLen, maxLen int) ([]byte, error) {
	if enc.DecodedLen(len(s)) > maxLen+2 { // before anything is allocated
		return nil, malformed(fmt.Sprintf("the %s is longer than %d bytes", part, maxLen))
	}
	if strings.ContainsAny(s, "\r\n") { // the decoder would skip them
		return nil, malformed(fmt.Sprintf("the %s is not base64", part))
	}
	b, err := enc.Strict().DecodeString(s)
	switch {
	case err != nil:
		return nil, malformed(fmt.Sprintf("the %s is not base64", part))
	case len(b) < minLen:
		return nil, malformed(fmt.Sprintf("the %s has %d bytes, at least %d are needed", part, len(b), minLen))
	case len(b) > maxLen:
		return nil, malformed(fmt.Sprintf("the %s is longer than %d bytes", part, maxLen))
	}
	return b, nil
}

// parseDecimal reads an unsigned number of digits alone, without sign or
// leading zeros.
func parseDecimal(s string) (uint32, bool) {
	if s == "" || (len(s) > 1 && s[0] == '0') {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// parseDecimal2 reads exactly two digits.
func parseDecimal2(s string) (int, bool) {
	if len(s) != 2 || s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), true
}
