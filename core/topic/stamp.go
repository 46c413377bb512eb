package topic

import (
	"strings"
	"sync/atomic"
)

const (
	clockBuckets = 1024

	// prefixLevels is how many literal first levels of a filter count in its
	// bucket. Subscriptions that come and go, such as "devices/17/#", then
	// leave most other topics alone.
	prefixLevels = 3
)

// clock counts changes in buckets, such that a few buckets say whether what
// matches a name has changed. A filter without wildcards counts in the bucket
// of its text, any other in the bucket of the levels before its first
// wildcard, or the first prefixLevels of them.
type clock struct {
	buckets [clockBuckets]atomic.Uint64
}

// Stamp is the state of what matches one topic name, see [Tree.Stamp].
type Stamp struct {
	buckets [2 + prefixLevels]uint16 // of the name, and of 0, 1, 2... first levels
	sum     uint64
}

// Sum returns a number that is the same for two stamps of the same name taken
// from the same tree only if nothing has changed between them.
func (s *Stamp) Sum() uint64 { return s.sum }

// stamp reads the clock for name.
func (c *clock) stamp(name string) (s Stamp) {
	s.buckets[0] = bucket(name, 0)
	s.buckets[1] = bucket("", 1)
	end := -1
	for i := range prefixLevels {
		if end < len(name) {
			end = levelEnd(name, end+1)
			s.buckets[2+i] = bucket(name[:end], 2+uint64(i))
		} else {
			s.buckets[2+i] = s.buckets[1]
		}
	}
	s.sum = c.sum(&s.buckets)
	return s
}

// sum adds the counters up. They only grow, so that the sum is the same only
// if each of them is.
func (c *clock) sum(buckets *[2 + prefixLevels]uint16) (sum uint64) {
	for _, b := range buckets {
		sum += c.buckets[b%clockBuckets].Load()
	}
	return sum
}

// tick counts a change at filter.
func (c *clock) tick(filter string, exact bool) {
	b := bucket(filter, 0)
	if !exact {
		prefix, n := literalPrefix(filter)
		b = bucket(prefix, 1+uint64(n))
	}
	c.buckets[b].Add(1)
}

// literalPrefix returns the levels of filter before the first wildcard, at
// most prefixLevels, and how many they are.
func literalPrefix(filter string) (prefix string, n int) {
	rest := filter
	for n < prefixLevels {
		level, tail, more := strings.Cut(rest, "/")
		if level == "+" || level == "#" {
			break
		}
		n++
		prefix = filter[:len(filter)-len(rest)+len(level)]
		if !more {
			break
		}
		rest = tail
	}
	return prefix, n
}

// bucket spreads texts over the buckets, differently for each salt.
func bucket(text string, salt uint64) uint16 {
	const odd = 0x9E3779B97F4A7C15
	return uint16((hashOf(text) + salt*odd) * odd >> (64 - 10))
}
