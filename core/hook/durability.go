package hook

// Durability says when something that is promised to the session of a client
// counts as kept; see session.Durability. With several validators the smallest
// counts that one of them has stated.
type Durability uint8

// The durabilities, the strictest first. Whoever states none leaves it to the
// listener, or the broker.
const (
	DurabilityUnstated Durability = iota
	DurabilitySync
	DurabilityInterval
	DurabilityNone
)

// String names the durability as the configuration does; "" for one that is not
// stated.
func (d Durability) String() string {
	switch d {
	case DurabilitySync:
		return "sync"
	case DurabilityInterval:
		return "interval"
	case DurabilityNone:
		return "none"
	}
	return ""
}

// stricter returns the one of both that counts.
func (d Durability) stricter(e Durability) Durability {
	if d == DurabilityUnstated || e != DurabilityUnstated && e < d {
		return e
	}
	return d
}
