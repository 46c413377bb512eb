package ban

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says what is banned.
type Kind string

// The kinds of bans. Their texts are those of the file.
const (
	// ClientID bans one client identifier, whoever uses it.
	ClientID Kind = "client_id"
	// Username bans one user name, from wherever. It is the name that the
	// client gives or its certificate says, and the one that a validator puts
	// in its place.
	Username Kind = "username"
	// Address bans an IP address, or a network in the notation
	// "192.0.2.0/24" or "2001:db8::/32".
	Address Kind = "address"
)

// Ban is one entry of a [List].
type Ban struct {
	Kind Kind `json:"kind"`
	// Value is the client identifier, the user name, or the network. A list
	// has an address without its zone, IPv4 as such however it was written,
	// and a network by its first address: see [Ban.Canonical].
	Value string `json:"value"`
	// Reason is for people; clients are not told.
	Reason string `json:"reason,omitempty"`
	// By says who banned it, for people: "admin", "flapping".
	By string `json:"by,omitempty"`
	// Since is when it was banned. [List.Ban] sets it if it is zero.
	Since time.Time `json:"since,omitzero"`
	// Until is when the ban ends; zero is never.
	Until time.Time `json:"until,omitzero"`
	// Transient keeps the ban out of the file, so that it ends with the
	// broker: the broker's own bans, which are short and may be many.
	Transient bool `json:"-"`
}

// ErrInvalid is what is wrong with a ban that cannot be.
var ErrInvalid = errors.New("not a ban")

// Canonical returns b as a list has it. The error wraps ErrInvalid and says
// what is wrong: an unknown kind, a value that no client can have, or a network
// that holds every address there is.
func (b Ban) Canonical() (Ban, error) {
	switch b.Kind {
	case ClientID, Username:
		if b.Value == "" || len(b.Value) > math.MaxUint16 || !utf8.ValidString(b.Value) || strings.ContainsRune(b.Value, 0) {
			return b, fmt.Errorf("%w: no client can have the %s %q", ErrInvalid, strings.ReplaceAll(string(b.Kind), "_", " "), b.Value)
		}
	case Address:
		p, err := ParseNetwork(b.Value)
		if err != nil {
			return b, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if p.Bits() == 0 {
			return b, fmt.Errorf("%w: %s is every address; close the listener instead", ErrInvalid, p)
		}
		b.Value = networkString(p)
	default:
		return b, fmt.Errorf("%w: kind %q is none of %s, %s, %s", ErrInvalid, b.Kind, ClientID, Username, Address)
	}
	return b, nil
}

// expired reports whether the ban has ended.
func (b *Ban) expired(now time.Time) bool { return !b.Until.IsZero() && !now.Before(b.Until) }

// ParseNetwork reads an address or a network. IPv4 addresses in IPv6's clothes
// are taken for what they are, a zone is dropped.
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = plain(addr)
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a network such as 192.0.2.0/24", s)
	}
	if bits := p.Bits() - 96; p.Addr().Is4In6() && bits >= 0 {
		p = netip.PrefixFrom(p.Addr().Unmap(), bits)
	}
	return p.Masked(), nil
}

// plain is an address without a zone, and IPv4 if it can be.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// networkString writes a network of one address as that address.
func networkString(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
