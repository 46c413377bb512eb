package brokertest

import (
	"net"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// DialRaw is for benchmarks: it connects as an MQTT 3.1.1 client, sends packets,
// each of which is answered, and returns the connection, which is used for at
// most a minute.
func (b *Broker) DialRaw(id string, ps ...packet.Packet) net.Conn {
	b.t.Helper()
	nc, err := net.Dial("tcp", b.Addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		b.t.Fatal(err)
	}
	enc := packet.Encoder{Version: mqtt.V311}
	dec := packet.NewClientDecoder(mqtt.V311, 0)
	for _, p := range append([]packet.Packet{&packet.Connect{Version: mqtt.V311, ClientID: id, CleanStart: true}}, ps...) {
		buf, err := enc.Append(nil, p)
		if err == nil {
			_, err = nc.Write(buf)
		}
		for answer := packet.Packet(nil); answer == nil && err == nil; {
			if answer, err = dec.Next(); answer == nil && err == nil {
				err = dec.Fill(nc)
			}
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return nc
}
