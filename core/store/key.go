package store

import "encoding/binary"

// format is the version of keys and values.
// Version 1 had neither references nor totals.
const format = 2

// The first byte of a key says what it is about.
const (
	keyFormat   = 'f' // the version of the format
	keyMessage  = 'm' // + number: a message that is in several queues
	keyRefs     = 'c' // + number: how many those are
	keySession  = 's' // + number + one of the kinds below
	keyRevision = 'q' // of the last change of a retained message
	keyRetained = 'r' // + topic: the retained message, behind its revision
)

// None of them is there twice, or this does not compile.
var _ = map[byte]struct{}{keyFormat: {}, keyMessage: {}, keyRefs: {}, keySession: {}, keyRevision: {}, keyRetained: {}}

// The kinds of records of a session, in the order in which they are read.
const (
	kindProfile      = 0
	kindSubscription = 1 // + filter
	kindReceived     = 2 // + identifier
	kindSent         = 3
	kindBound        = 4 // + sequence
	kindQueue        = 5 // + sequence
	kindFlight       = 6 // + sequence of the first: identifiers of QoS 1 that were sent at once
	kindTotals       = 7 // only of a session with much in its queue
)

const sessionKeyLen = 1 + 8 + 1

func formatKey() []byte { return []byte{keyFormat} }

func messageKey(dst []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, keyMessage), number)
}

func refsKey(dst []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, keyRefs), number)
}

// sessionKey is the key, or the beginning of the keys, of one kind of records.
func sessionKey(dst []byte, number uint64, kind byte) []byte {
	return append(binary.BigEndian.AppendUint64(append(dst, keySession), number), kind)
}

func sequenceKey(dst []byte, number uint64, kind byte, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(sessionKey(dst, number, kind), sequence)
}

func receivedKey(dst []byte, number uint64, id uint16) []byte {
	return binary.BigEndian.AppendUint16(sessionKey(dst, number, kindReceived), id)
}

// sessionRange is from where to where the keys of a session are.
func sessionRange(number uint64) (from, to []byte) {
	return binary.BigEndian.AppendUint64([]byte{keySession}, number), binary.BigEndian.AppendUint64([]byte{keySession}, number+1)
}

// sessionOf takes a key of a session apart.
func sessionOf(key []byte) (number uint64, kind byte, rest []byte, ok bool) {
	if len(key) < sessionKeyLen || key[0] != keySession {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint64(key[1:]), key[sessionKeyLen-1], key[sessionKeyLen:], true
}
