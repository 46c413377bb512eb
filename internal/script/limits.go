package script

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"
)

// Limits bound what one call of a script may take. A zero field is the default.
type Limits struct {
	// Steps of the interpreter; an assignment is a few of them. 1,000,000.
	Steps uint64
	// Memory is what a call may allocate in all, in bytes: every string, list
	// and the like that it makes counts, also those that are garbage already.
	// 32 MiB.
	Memory int64
	// Result bounds a payload that a script makes, and what it keeps as an item
	// or shares, in bytes. 1 MiB.
	Result int64
	// Time is how long a message, a subscription or an event may take. 150 ms,
	// below the 200 ms that the broker waits for an interceptor.
	Time time.Duration
	// ConnectTime is how long a CONNECT may take. 1.5 s, below the broker's 2 s.
	ConnectTime time.Duration
	// BackgroundTime is how long loading, initialize, destroy and a timer may
	// take. 5 s.
	BackgroundTime time.Duration
}

func (l Limits) withDefaults() Limits {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	if l.Steps == 0 {
		l.Steps = 1_000_000
	}
	if l.Memory <= 0 {
		l.Memory = 32 << 20
	}
	if l.Result <= 0 {
		l.Result = 1 << 20
	}
	def(&l.Time, 150*time.Millisecond)
	def(&l.ConnectTime, 1500*time.Millisecond)
	def(&l.BackgroundTime, 5*time.Second)
	return l
}

// Sizes of things that a script makes, about what they take in memory.
const (
	sizeOfElement = 16 // an interface
	sizeOfEntry   = 96 // one entry of a dict or a set
)

// charge books memory that a call is about to take, or has just taken. The error
// ends the call.
func (c *call) charge(n int64) error {
	c.memory += n
	if limit := c.limits.Memory; n < 0 || c.memory > limit || c.memory < 0 {
		return fmt.Errorf("the call takes more than the %d bytes of memory that it may (limits.memory)", limit)
	}
	return nil
}

// fits checks the size of what a call leaves behind.
func (c *call) fits(what string, n int) error {
	if int64(n) > c.limits.Result {
		return fmt.Errorf("%s of %d bytes is more than the %d that it may have (limits.result)", what, n, c.limits.Result)
	}
	return nil
}

// sizeOf is what a value takes itself, without what it refers to.
func sizeOf(v starlark.Value) int64 {
	switch v := v.(type) {
	case starlark.String:
		return int64(len(v))
	case starlark.Bytes:
		return int64(len(v))
	case starlark.Int:
		if b := v.BigInt(); b.BitLen() > 64 {
			return int64(b.BitLen() / 8)
		}
		return 0
	case *starlark.Dict:
		return int64(v.Len()) * sizeOfEntry
	case *starlark.Set:
		return int64(v.Len()) * sizeOfEntry
	case *starlark.List:
		return int64(v.Len()) * sizeOfElement
	case starlark.Tuple:
		return int64(v.Len()) * sizeOfElement
	}
	return 0
}

// measure is about how long a value is when it is written as text, all that it
// refers to included, as often as it does. It gives up beyond limit: a list that
// holds another twice, which holds another twice, soon is longer than the world.
func measure(v starlark.Value, limit int64) int64 {
	m := measurement{limit: limit}
	m.add(v)
	return m.size
}

type measurement struct{ size, limit int64 }

func (m *measurement) add(v starlark.Value) {
	if m.size > m.limit {
		return
	}
	m.size += 2
	switch v := v.(type) {
	case starlark.String:
		m.size += int64(len(v)) * 2 // quotes and escapes
	case starlark.Bytes:
		m.size += int64(len(v)) * 4
	case starlark.Int:
		if b := v.BigInt(); b.BitLen() > 64 {
			m.size += int64(b.BitLen() / 3)
		} else {
			m.size += 20
		}
	case *starlark.Dict:
		for k, e := range v.Entries() {
			if m.size > m.limit {
				return
			}
			m.add(k)
			m.add(e)
		}
	case *starlark.List, starlark.Tuple, *starlark.Set:
		for e := range starlark.Elements(v.(starlark.Iterable)) {
			if m.size > m.limit {
				return
			}
			m.add(e)
		}
	case *Context:
		m.size += 4096
	default:
		m.size += 32
	}
}
