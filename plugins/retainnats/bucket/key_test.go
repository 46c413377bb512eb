package bucket

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// legalKey is what NATS takes for a key of a bucket.
var legalKey = regexp.MustCompile(`^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$`)

func TestTopicKey(t *testing.T) {
	for topic, want := range map[string]string{
		"a":            "t.a",
		"site/1/Temp":  "t.site.1.Temp",
		"/":            "t.=.=",
		"a//b/":        "t.a.=.b.=",
		"$SYS/x":       "t.=24SYS.x",
		"a.b":          "t.a=2Eb",
		"=":            "t.=3D",
		"a b":          "t.a=20b",
		"\u00fc":       "t.=C3=BC",
		"*/>":          "t.=2A.=3E",
		"head":         "t.head",
		"_-_":          "t._-_",
		"a=20b":        "t.a=3D20b",
		"t/h":          "t.t.h",
		"under_score/": "t.under_score.=",
	} {
		if got := topicKey(topic); got != want {
			t.Errorf("key of %q is %q, want %q", topic, got, want)
		}
	}
}

// keyTopic reads a readable key back. It knows no topic of a hashed key. The
// error says that topicKey makes no such key.
func keyTopic(key string) (string, error) {
	levels, ok := strings.CutPrefix(key, topicPrefix)
	if !ok {
		return "", fmt.Errorf("key %q is not that of a topic", key)
	}
	var b strings.Builder
	for i, level := range strings.Split(levels, ".") {
		if i > 0 {
			b.WriteByte('/')
		}
		if level == "=" {
			continue
		}
		for level != "" {
			before, after, escaped := strings.Cut(level, "=")
			b.WriteString(before)
			if level = after; !escaped {
				break
			}
			c, err := hex.DecodeString(level[:min(2, len(level))])
			if err != nil || len(c) != 1 {
				return "", fmt.Errorf("key %q: no two hexadecimal digits follow a =", key)
			}
			b.Write(c)
			level = level[2:]
		}
	}
	if topic := b.String(); topicKey(topic) == key {
		return topic, nil
	}
	return "", fmt.Errorf("key %q is not written as keys of topics are", key)
}

// checkKey holds that a topic has a legal key of its own: a short one can be
// read back, a long one holds its hash.
func checkKey(t interface{ Fatalf(string, ...any) }, topic string) {
	key := topicKey(topic)
	if !legalKey.MatchString(key) || len(key) > maxKey {
		t.Fatalf("topic %q has the key %q, which is not legal", topic, key)
	}
	if key == headKey {
		t.Fatalf("topic %q has the key of the head", topic)
	}
	if strings.HasPrefix(key, hashPrefix) {
		if len(readableKey(topic)) <= maxKey {
			t.Fatalf("topic %q is hashed, and need not be", topic)
		}
		return
	}
	if back, err := keyTopic(key); err != nil || back != topic {
		t.Fatalf("key %q of topic %q is read back as %q, %v", key, topic, back, err)
	}
}

func TestKeysAreLegalAndUnique(t *testing.T) {
	level := rapid.OneOf(rapid.SampledFrom([]string{"", "=", ".", "=2E", "==", "=20", "a", "A", "t", "h", "head", "$SYS", "+", "%"}), rapid.String())
	topics := rapid.Custom(func(t *rapid.T) string {
		topic := strings.Join(rapid.SliceOfN(level, 1, 6).Draw(t, "levels"), "/")
		return strings.Repeat(topic, rapid.SampledFrom([]int{1, 1, 1, 40}).Draw(t, "times")) + "x"
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := topics.Draw(t, "a"), topics.Draw(t, "b")
		checkKey(t, a)
		checkKey(t, b)
		if (a == b) != (topicKey(a) == topicKey(b)) {
			t.Fatalf("topics %q and %q share the key %q", a, b, topicKey(a))
		}
	})
}

func FuzzTopicKey(f *testing.F) {
	for _, topic := range []string{"a/b", "/", "a//", "=", "\xff", strings.Repeat("x/", 32767) + "x", strings.Repeat("/", 300)} {
		f.Add(topic)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		if topic != "" {
			checkKey(t, topic)
		}
	})
}

// FuzzKeyTopic reads keys that anybody may have put into the bucket: one that
// is taken for a topic's is that topic's.
func FuzzKeyTopic(f *testing.F) {
	for _, key := range []string{"t.a", "t.=", "t.=4", "t.=41", "t.=zz", "t.=2f", "t.", "t..", "h.00", "head", "t.a=", "t.==41"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if topic, err := keyTopic(key); err == nil && topicKey(topic) != key {
			t.Errorf("key %q is read as %q, whose key is %q", key, topic, topicKey(topic))
		}
	})
}
