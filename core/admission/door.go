package admission

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Limits are those of a [Door]. The zero value lets everyone in.
type Limits struct {
	// Rate bounds new connections of all together.
	Rate Rate
	// AddressRate bounds new connections of one address, AddressConnections
	// its open ones; 0 does not. Addresses of IPv6 count as one if they have
	// the first 64 bits in common, since that is what one subscriber gets.
	AddressRate        Rate
	AddressConnections int
	// Exempt are networks without bounds by address: gateways and proxies,
	// behind which there are many clients.
	Exempt []netip.Prefix
}

// Verdict is what a [Door] says.
type Verdict uint8

// The verdicts.
const (
	Welcome        Verdict = iota
	TooFast                // all together
	AddressTooFast         // that address
	AddressTooMany         // open connections of that address
)

// MaxAddresses bounds the addresses that a door remembers beside those with
// open connections. Beyond it the rate of some is forgotten, so that they may
// burst once more; the rate of all together holds.
const MaxAddresses = 100_000

// Door lets connections in, as its limits say. Make it with [NewDoor].
type Door struct {
	mu        sync.Mutex // guards the fields below
	limits    Limits
	all       bucket
	addresses map[netip.Prefix]*address
	most      int
	pruned    time.Time
}

// address is what is known of one.
type address struct {
	open int
	rate bucket
}

// NewDoor makes a door.
func NewDoor(l Limits) *Door {
	return &Door{limits: l, addresses: make(map[netip.Prefix]*address), most: MaxAddresses}
}

// SetLimits replaces the limits. Whoever is in stays and counts.
func (d *Door) SetLimits(l Limits) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limits = l
}

// Enter says whether a connection from an address may come in. If so, Leave has
// to follow when it has ended. An address that is not valid, as that of a Unix
// socket, is bounded by the rate of all only.
func (d *Door) Enter(a netip.Addr, now time.Time) Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.address(a, now)
	if one != nil && !d.exempt(a) {
		switch {
		case d.limits.AddressConnections > 0 && one.open >= d.limits.AddressConnections:
			return AddressTooMany
		case !one.rate.take(d.limits.AddressRate, now):
			return AddressTooFast
		}
	}
	if !d.all.take(d.limits.Rate, now) {
		return TooFast
	}
	if one != nil {
		one.open++
	}
	return Welcome
}

// Leave says that a connection that was welcome has ended.
func (d *Door) Leave(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := Network(a)
	if one := d.addresses[key]; one != nil {
		if one.open--; one.open == 0 && one.rate == (bucket{}) {
			delete(d.addresses, key)
		}
	}
}

// Open returns how many connections an address has, those of its network
// included.
func (d *Door) Open(a netip.Addr) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one := d.addresses[Network(a)]; one != nil {
		return one.open
	}
	return 0
}

// address returns what is known of an address, nil for one that is not valid.
// Open connections are counted even if nothing bounds them: something may later.
func (d *Door) address(a netip.Addr, now time.Time) *address {
	if !a.IsValid() {
		return nil
	}
	key := Network(a)
	one := d.addresses[key]
	if one == nil {
		if len(d.addresses) >= d.most {
			d.prune(now)
		}
		one = new(address)
		d.addresses[key] = one
	}
	return one
}

// prune forgets addresses without open connections: those whose rate is not
// used up, at most once a second, for it takes a while; else any one.
func (d *Door) prune(now time.Time) {
	if now.Sub(d.pruned) >= time.Second {
		d.pruned = now
		before := len(d.addresses)
		for key, one := range d.addresses {
			if one.open == 0 && one.rate.idle(now) {
				delete(d.addresses, key)
			}
		}
		if len(d.addresses) < before {
			return
		}
	}
	looked := 0
	for key, one := range d.addresses {
		if one.open == 0 {
			delete(d.addresses, key)
			return
		}
		if looked++; looked == 64 {
			return
		}
	}
}

func (d *Door) exempt(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(d.limits.Exempt, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Network is what counts as one address: that of IPv4, the first 64 bits of
// IPv6.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // not valid if a is not
	return p
}
