package bucket

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Every key begins with what it is: that of a topic, of the hash of a topic
// that is too long, or of the bucket's head.
const (
	topicPrefix = "t."
	hashPrefix  = "h."
	headKey     = "head"
)

// maxKey is how long a key may become before it is hashed. Keys are part of NATS
// subjects, and a server takes 4 KiB for a subject with all that surrounds it.
const maxKey = 512

const hexDigits = "0123456789ABCDEF"

// topicKey returns the key of a topic. No two topics share one: the short form
// can be read back, and the long one holds a SHA-256.
func topicKey(topic string) string {
	if len(topic) <= maxKey {
		if key := readableKey(topic); len(key) <= maxKey {
			return key
		}
	}
	sum := sha256.Sum256([]byte(topic))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// readableKey writes a topic as a key. A level of the topic is a token of the
// key, so that the filter a/# of MQTT is t.a.> of NATS. Letters, digits, "-" and
// "_" stay; every other byte is "=" and two hexadecimal digits; an empty level is
// "=" alone, for a token may not be empty.
func readableKey(topic string) string {
	var b strings.Builder
	b.Grow(len(topicPrefix) + len(topic) + 8)
	b.WriteString(topicPrefix)
	start := 0
	for i := 0; i <= len(topic); i++ {
		switch {
		case i == len(topic) || topic[i] == '/':
			if i == start {
				b.WriteByte('=')
			}
			if i < len(topic) {
				b.WriteByte('.')
			}
			start = i + 1
		case plain(topic[i]):
			b.WriteByte(topic[i])
		default:
			b.WriteByte('=')
			b.WriteByte(hexDigits[topic[i]>>4])
			b.WriteByte(hexDigits[topic[i]&15])
		}
	}
	return b.String()
}

// plain reports whether a byte stands for itself in a key.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
