package packet

// Limits bound what one packet may hold beyond its size in bytes, for small
// things on the wire can be large in memory. Zero means the default.
type Limits struct {
	// ClientID is the longest client identifier in bytes; a longer one is
	// answered by ClientIdentifierNotValid. Default 65,535, all that the
	// protocol can express.
	ClientID int

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

// withDefaults replaces what is zero.
func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		value *int
		zero  int
	}{
		{&l.ClientID, 65_535},
		{&l.UserProperties, 1_024},
		{&l.UserPropertyBytes, maxVarint},
		{&l.Filters, 65_535},
	} {
		if *f.value == 0 {
			*f.value = f.zero
		}
	}
	return l
}

// defaultLimits is shared by all decoders that were not given others.
var defaultLimits = Limits{}.withDefaults()
