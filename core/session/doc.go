// Package session is the protocol state of one client: what survives its
// network connection (queued and unacknowledged messages, QoS 2 identifiers
// that were received, subscriptions) and what belongs to the connection (the
// send window, the receive window, topic aliases).
//
// It is pure. There is no socket, no goroutine, no timer and no clock: methods
// take what arrived and the time, change the state and return what is to be
// sent. The broker's reader goroutine calls the inbound half, its writer
// goroutine calls [Session.Next], and every publisher's reader calls
// [Session.Enqueue]:
//
//	publisher's reader --Enqueue--> queue --Next--> in flight --Puback/Pubcomp--> gone
//	                       |                  ^
//	                       +------Wake--------+  (the subscriber's writer)
//
// A writer works like this:
//
//	for range wake { // a channel of capacity 1 that Wake fills without blocking
//		for {
//			batch = s.Next(batch[:0], 64, time.Now(), countExpired)
//			if len(batch) == 0 {
//				break
//			}
//			write(batch)
//		}
//	}
//
// # Order
//
// Everything that is queued for a client leaves in the order in which it was
// queued, whatever its QoS, so the messages of one publisher stay in order
// over all their topics [MQTT-4.6.0-5] [MQTT-4.6.0-6]. The price is that a
// message of QoS 0 behind one of QoS 1 that waits for the window waits too,
// as MQTT 5 section 4.9 allows.
//
// # Retransmission
//
// Nothing is sent twice over one connection. After [Session.Attach] of a new
// one, [Session.Next] first returns what the client has not acknowledged, in
// the original order, and only then what is queued [MQTT-4.4.0-1].
//
// # Concurrency
//
// Every method may be called from any goroutine. What the protocol needs is
// for the caller to hold: one connection at a time ([Session.Attach] of the
// next one after the goroutines of the last have ended), one reader that
// hands over packets in the order in which they arrived, one writer that
// sends what Next returns in that order.
package session
