package broker

// BacklogBounds are the numbers of waiting messages by which [Backlog] sorts
// sessions.
var BacklogBounds = [...]int{1, 10, 100, 1000, 10_000, 100_000}

// Backlog is what waits for clients, in all sessions together.
type Backlog struct {
	Messages int // that wait to be sent
	Bytes    int // of those
	InFlight int // sent, with QoS 1 or 2, and not acknowledged to the end
	Kept     int // sessions that outlive the broker
	// Sessions counts the sessions for which at least so many messages wait as
	// [BacklogBounds] has at the same place.
	Sessions [len(BacklogBounds)]int
}

// Backlog looks at every session: some ten milliseconds for 100,000 of them, in
// which no client is held up. It may be called from many goroutines.
func (b *Broker) Backlog() Backlog {
	var out Backlog
	for _, c := range b.clients.all() {
		n, size := c.sess.QueueLen()
		out.Messages += n
		out.Bytes += size
		out.InFlight += c.sess.InFlight()
		if c.sess.Kept() {
			out.Kept++
		}
		for i, bound := range BacklogBounds {
			if n < bound {
				break
			}
			out.Sessions[i]++
		}
	}
	return out
}
