package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Connects is a load of clients that connect, and go once they were accepted.
type Connects struct {
	// Total is how many connect, Together how many at a time.
	Total, Together int
	// Hello encodes the CONNECT of one of them.
	Hello func(i int) []byte
}

// Run makes all connections and returns how long each took from opening it to
// its CONNACK, sorted. Each comes from one of many addresses of loopback, so
// that ports which are not free yet don't run out.
func (c Connects) Run(l *Loop, addr netip.AddrPort) ([]time.Duration, error) {
	took := make([]time.Duration, 0, c.Total)
	begun := 0
	var begin func() error
	begin = func() error {
		if begun == c.Total {
			return nil
		}
		i, at := begun, time.Now()
		begun++
		var conn *Conn
		conn, err := l.DialFrom(source(i), addr, func(p Packet) {
			if err := accepted(p); err != nil {
				l.fail(err)
			}
			took = append(took, time.Since(at))
			conn.Append(disconnect<<4, 0)
			conn.Flush()
			conn.Drop()
			if err := begin(); err != nil {
				l.fail(err)
			}
		})
		if err != nil {
			return err
		}
		conn.Append(c.Hello(i)...)
		conn.Flush()
		return nil
	}
	for range c.Together {
		if err := begin(); err != nil {
			return nil, err
		}
	}
	if err := l.Until(patience, func() bool { return len(took) == c.Total }); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	slices.Sort(took)
	return took, nil
}

// source is an address of loopback, another one every few thousand.
func source(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 127<<24|1<<16|uint32(i/4096))
	return netip.AddrFrom4(b)
}
