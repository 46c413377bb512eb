package pluginhost

import (
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// appendEvent writes an Event. The client in full goes only with events about a
// connection or a session. Events are told after the fact, so that a string
// that is not UTF-8 is shown with U+FFFD, and a message that has one is left
// out.
func appendEvent(dst []byte, e *hook.Event, plan *payloadPlan) []byte {
	dst = appendUint(dst, 1, uint64(e.Kind))
	if !e.Time.IsZero() {
		dst = appendUint(dst, 2, uint64(e.Time.UnixNano()))
	}
	dst = appendString(dst, 3, toUTF8(e.ClientID))
	dst = appendUint(dst, 4, e.ConnectionID)
	dst = appendUint(dst, 5, e.Seq)
	if e.Client != nil && aboutClient(e.Kind) {
		dst = appendNested(dst, 6, func(dst []byte) []byte { return appendClient(dst, e.Client) })
	}
	if m := e.Message; m != nil && checkMessage(m) == nil {
		payload := plan.cut(hook.PointEvent, e.Kind, m)
		dst = appendMessage(appendLength(dst, 7, sizeMessage(m, payload)), m, payload)
	}
	if e.Kind == hook.Subscribed || e.Kind == hook.Unsubscribed {
		s := e.Subscription
		s.Filter = toUTF8(s.Filter)
		dst = appendSubscription(appendLength(dst, 8, sizeSubscription(&s)), &s)
	}
	dst = appendUint(dst, 9, uint64(e.Code))
	dst = appendString(dst, 10, toUTF8(e.Reason))
	dst = appendString(dst, 11, toUTF8(string(e.Cause)))
	return appendUint(dst, 12, uint64(e.Disconnect))
}

func aboutClient(k hook.EventKind) bool {
	switch k {
	case hook.Connected, hook.Disconnected, hook.SessionCreated, hook.SessionResumed,
		hook.SessionTakenOver, hook.SessionExpired, hook.Refused, hook.Present:
		return true
	default:
		return false
	}
}

// appendNested writes a field whose size is only known when it is written: it
// is written behind and moved.
func appendNested(dst []byte, field byte, write func([]byte) []byte) []byte {
	start := len(dst)
	dst = write(dst)
	n := len(dst) - start
	head := sizeLength(n) - n
	dst = append(dst, make([]byte, head)...)
	copy(dst[start+head:], dst[start:start+n])
	appendLength(dst[:start], field, n)
	return dst
}
