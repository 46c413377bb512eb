package packet

import "cmp"

// Limits bound what one packet may hold beyond its size in bytes, for small
// things on the wire can be large in memory. Zero means the default.
type Limits struct {
	// ClientID is the longest client identifier in bytes; a longer one is
	// answered by ClientIdentifierNotValid. Default 65,535, all that the
	// protocol can express.
	ClientID int

	// Will is how many bytes more than the maximum packet size a CONNECT may
	// have that holds a will. Default 0.
	Will int

	// UserProperties is how many of them a packet may have, those of a will
	// counted apart; more are answered by QuotaExceeded. Default 1,024.
	UserProperties int

	// UserPropertyBytes bounds the keys and values of a packet's User
	// Properties together; more are answered by QuotaExceeded. By default
	// only the packet size bounds them.
	UserPropertyBytes int

	// Filters is how many filters a SUBSCRIBE or UNSUBSCRIBE may have; more
	// are answered by QuotaExceeded. Default 65,535.
	Filters int
}

// defaultLimits is shared by all decoders that were not given others.
var defaultLimits Limits

func (l *Limits) clientID() int          { return cmp.Or(l.ClientID, 65_535) }
func (l *Limits) userProperties() int    { return cmp.Or(l.UserProperties, 1_024) }
func (l *Limits) userPropertyBytes() int { return cmp.Or(l.UserPropertyBytes, maxVarint) }
func (l *Limits) filters() int           { return cmp.Or(l.Filters, 65_535) }
