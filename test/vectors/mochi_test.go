package vectors

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// mochiCases calls f with every case and a name that is its own.
func mochiCases(t *testing.T, f func(t *testing.T, name string, c packets.TPacketCase)) {
	t.Helper()
	met := make(map[string]bool)
	for typ := packets.Connect; typ <= packets.Auth; typ++ {
		for _, c := range packets.TPacketData[typ] {
			name := fmt.Sprintf("%s/%s", packets.PacketNames[typ], c.Desc)
			for n := 2; met[name]; n++ {
				name = fmt.Sprintf("%s/%s (%d)", packets.PacketNames[typ], c.Desc, n)
			}
			met[name] = true
			if c.Packet != nil {
				typed := *c.Packet // some don't say what they are
				typed.FixedHeader.Type = typ
				c.Packet = &typed
			}
			t.Run(name, func(t *testing.T) { f(t, name, c) })
		}
	}
	for name := range mochiExceptions {
		if !met[name] {
			t.Errorf("mochi has no case %q: strike the exception", name)
		}
	}
}

// version returns the version that a case is about: a bare one is for the
// versions before MQTT 5.
func version(c *packets.TPacketCase) mqtt.Version {
	if c.Packet == nil || c.Packet.ProtocolVersion == 0 {
		return mqtt.V311
	}
	return mqtt.Version(c.Packet.ProtocolVersion)
}

// TestMochi holds our codec against every case of mochi's.
func TestMochi(t *testing.T) {
	run := 0
	mochiCases(t, func(t *testing.T, name string, c packets.TPacketCase) {
		run++
		why := mochiExceptions[name].why
		err := checkMochi(&c)
		switch {
		case err != nil && why == "":
			t.Error(err)
		case err == nil && why != "":
			t.Errorf("there is no difference any more: strike the exception %q", why)
		}
	})
	if run < 170 {
		t.Errorf("%d cases: mochi had 172", run)
	}
}

// checkMochi says how our codec differs from what a case wants.
func checkMochi(c *packets.TPacketCase) error {
	switch {
	case len(c.ActualBytes) > 0:
		return checkShortened(c)
	case c.Group == "encode":
		return checkUnencodable(c)
	case c.Group == "copy":
		return nil // the bytes are not those of the packet
	case c.Group == "validate":
		return checkInvalid(c)
	case c.FailFirst != nil:
		return checkMalformed(c)
	case len(c.RawBytes) > 0:
		return checkGood(c)
	default:
		return nil // what other cases refer to
	}
}

// checkGood wants the packet to be read as mochi reads it, and the one that we
// write to be read by mochi as the same.
func checkGood(c *packets.TPacketCase) error {
	v := version(c)
	want := fromMochi(c.Packet)
	got, err := decodeAny(c.RawBytes, v)
	if err != nil {
		return fmt.Errorf("not decoded: %w", err)
	}
	if d := difference(v, want, got); d != "" {
		return fmt.Errorf("decoded differently (-mochi +ours):\n%s", d)
	}
	raw, err := (&packet.Encoder{Version: v}).Append(nil, want)
	if err != nil {
		return fmt.Errorf("not encoded: %w", err)
	}
	if bytes.Equal(raw, c.RawBytes) {
		return nil
	}
	// The order of properties is free.
	back, err := mochiDecode(raw, v)
	if err != nil {
		return fmt.Errorf("mochi does not decode %x: %w", raw, err)
	}
	if d := difference(v, want, fromMochi(back)); d != "" {
		return fmt.Errorf("mochi reads something else in our packet (-mochi +ours):\n%s", d)
	}
	return nil
}

// checkMalformed wants bytes to be refused: as they are they may be the
// beginning of a packet, but they are no packet when that ends with them.
func checkMalformed(c *packets.TPacketCase) error {
	v := version(c)
	if p, d := decodeNone(c.RawBytes, v); p != nil {
		return fmt.Errorf("decoded, %s: %#v", d, p)
	}
	if len(c.RawBytes) < 2 || len(c.RawBytes)-2 > 127 || c.RawBytes[1] > 127 {
		return nil
	}
	whole := bytes.Clone(c.RawBytes)
	whole[1] = byte(len(whole) - 2)
	if t := packet.Type(whole[0] >> 4); t == packet.PUBREL || t == packet.SUBSCRIBE || t == packet.UNSUBSCRIBE {
		whole[0] |= 0x02 // some cases leave that out, and it isn't their point
	}
	if p, d := decodeNone(whole, v); p != nil {
		return fmt.Errorf("decoded when complete, %s: %#v", d, p)
	}
	return nil
}

// checkUnencodable wants our encoder to refuse a packet.
func checkUnencodable(c *packets.TPacketCase) error {
	e := packet.Encoder{Version: version(c), MaxPacketSize: c.Packet.Mods.MaxSize}
	if raw, err := e.Append(nil, fromMochi(c.Packet)); err == nil {
		return fmt.Errorf("encoded as %x", raw)
	}
	return nil
}

// checkShortened wants a packet to lose what the receiver can do without.
func checkShortened(c *packets.TPacketCase) error {
	e := packet.Encoder{Version: version(c), MaxPacketSize: c.Packet.Mods.MaxSize}
	raw, err := e.Append(nil, fromMochi(c.Packet))
	if err != nil {
		return err
	}
	if !bytes.Equal(raw, c.ActualBytes) {
		return fmt.Errorf("encoded as %x, mochi as %x", raw, c.ActualBytes)
	}
	return nil
}

// checkInvalid wants a packet that mochi can write and refuses from a client to
// be refused by our decoder.
func checkInvalid(c *packets.TPacketCase) error {
	raw, v, err := invalidBytes(c)
	if err != nil {
		return nil
	}
	if p, err := decode(raw, v, toServer); err == nil && p != nil {
		return fmt.Errorf("%x decoded: %#v", raw, p)
	}
	return nil
}

// invalidBytes returns a packet that mochi can write and refuses. Where a case
// doesn't say for which version it is, it is for the one that has a form for
// all that the packet may hold.
func invalidBytes(c *packets.TPacketCase) ([]byte, mqtt.Version, error) {
	if len(c.RawBytes) > 0 {
		return c.RawBytes, version(c), nil
	}
	p := *c.Packet
	if p.ProtocolVersion == 0 {
		p.ProtocolVersion = 5
	}
	raw, err := mochiEncode(&p)
	return raw, mqtt.Version(p.ProtocolVersion), err
}
