package pluginapi

import "fmt"

// Durability says when something that is promised to the session of a client
// counts as kept, and is acknowledged; it also holds for what the client has
// retained in the broker's own store. If several validators state one, the
// strictest counts: sync before interval before none. The session keeps it while
// its client is away; the next CONNECT decides anew.
//
// It is a text in JSON and the like: "sync", "interval", "none", or "" for
// [DurabilityUnstated].
type Durability uint8

// The durabilities.
const (
	DurabilityUnstated Durability = iota // the listener's, or the broker's
	DurabilitySync                       // when the disk has it
	DurabilityInterval                   // when the operating system has it; the disk has it within 200 ms
	DurabilityNone                       // when the operating system has it; nobody asks the disk
)

var durabilityNames = [...]string{"", "sync", "interval", "none"}

// String names the durability in lower case, "" for DurabilityUnstated.
func (d Durability) String() string {
	if int(d) < len(durabilityNames) {
		return durabilityNames[d]
	}
	return "unknown"
}

// MarshalText names the durability. The error says that there is no such one.
func (d Durability) MarshalText() ([]byte, error) {
	if int(d) >= len(durabilityNames) {
		return nil, fmt.Errorf("durability %d does not exist", d)
	}
	return []byte(durabilityNames[d]), nil
}

// UnmarshalText takes what MarshalText makes; d is unchanged on error.
func (d *Durability) UnmarshalText(text []byte) error {
	for i, name := range durabilityNames {
		if name == string(text) {
			*d = Durability(i) //nolint:gosec // one of four
			return nil
		}
	}
	return fmt.Errorf("durability is %q; there are sync, interval and none", text)
}
