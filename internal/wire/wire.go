// Package wire writes MQTT packets as tests want to read them: byte by byte,
// the wrong ones too, without counting lengths.
//
//	wire.Bytes(`82 ( 0001 00 "a/+" 01 )`) // SUBSCRIBE, MQTT 5
package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

// Bytes turns a readable notation into bytes:
//
//	2a 0f        hex digits, in any grouping
//	'abc'        these bytes
//	"abc"        two bytes of length, and these bytes
//	( ... )      the length of the contents as a Variable Byte Integer, and them
//	[ ... ]      two bytes of length of the contents, and them
//	61*65535     the byte 61, so many times
//
// It panics if the notation is wrong.
func Bytes(notation string) []byte {
	b, rest := group(notation)
	if rest != "" {
		panic("unbalanced " + rest[:1] + " in " + notation)
	}
	return b
}

// group reads up to the end or to a closing parenthesis or bracket, which rest
// begins with.
func group(s string) (b []byte, rest string) {
	for {
		s = strings.TrimLeft(s, " \t\n")
		if s == "" {
			return b, ""
		}
		switch s[0] {
		case ')', ']':
			return b, s
		case '(', '[':
			var part []byte
			part, s = nested(s)
			b = append(b, part...)
		case '\'', '"':
			end := 1 + strings.IndexByte(s[1:], s[0])
			text := s[1:end]
			if s[0] == '"' {
				b = appendUint16(b, len(text))
			}
			b = append(b, text...)
			s = s[end+1:]
		default:
			end := strings.IndexAny(s, " \t\n()[]'\"")
			if end < 0 {
				end = len(s)
			}
			b = append(b, digits(s[:end])...)
			s = s[end:]
		}
	}
}

// nested reads a group with its parentheses or brackets.
func nested(s string) (b []byte, rest string) {
	inner, after := group(s[1:])
	switch {
	case s[0] == '(' && strings.HasPrefix(after, ")"):
		b = appendVarint(b, len(inner))
	case s[0] == '[' && strings.HasPrefix(after, "]"):
		b = appendUint16(b, len(inner))
	default:
		panic("unbalanced " + s[:1])
	}
	return append(b, inner...), after[1:]
}

func digits(token string) []byte {
	hexa, times, repeated := strings.Cut(token, "*")
	b, err := hex.DecodeString(hexa)
	if err != nil {
		panic(fmt.Sprintf("%q: %v", token, err))
	}
	if repeated {
		var n int
		if _, err := fmt.Sscan(times, &n); err != nil {
			panic(fmt.Sprintf("%q: %v", token, err))
		}
		return bytes.Repeat(b, n)
	}
	return b
}

func appendUint16(b []byte, n int) []byte { return append(b, byte(n>>8), byte(n)) }

func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}
