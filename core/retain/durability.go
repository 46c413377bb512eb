package retain

// Durability says when a change counts as kept, for a store that can tell the
// difference. Its values are those of session.Durability, in the same order.
type Durability uint8

// The durabilities, strictest first.
const (
	DurabilitySync     Durability = iota // when the disk has it
	DurabilityInterval                   // when the operating system has it; the disk has it a moment later
	DurabilityNone                       // when the operating system has it
)
