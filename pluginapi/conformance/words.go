package conformance

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// encodings are the usual texts for binary data. Of base64 only the middle is
// taken, which is the same wherever the data stands in a longer text.
func encodings(b []byte) []string {
	var words []string
	for _, c := range b {
		words = append(words, strconv.Itoa(int(c)))
	}
	numbers := strings.Join(words, " ") // "99 97 110", as Go prints bytes
	list := []string{
		hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), numbers, strings.ReplaceAll(numbers, " ", ", "), strings.ReplaceAll(numbers, " ", ","),
	}
	for skip := range 3 { // the three ways in which it can be aligned
		whole := b[skip:]
		whole = whole[:len(whole)/3*3]
		list = append(list, base64.RawStdEncoding.EncodeToString(whole))
	}
	return list
}

// describe shows a value without its length being a burden.
func describe(v any) string {
	var text string
	switch x := v.(type) {
	case []byte:
		text = string(x)
	default:
		text = fmt.Sprint(v)
	}
	if len(text) > 40 {
		return fmt.Sprintf("= %q... (%d bytes)", text[:40], len(text))
	}
	return fmt.Sprintf("= %q", text)
}
