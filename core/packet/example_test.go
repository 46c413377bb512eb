package packet_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// A client connects, publishes, and then sends what it must not.
func Example() {
	client := packet.Encoder{Version: mqtt.V5}
	var sent []byte
	for _, p := range []packet.Packet{
		&packet.Connect{Version: mqtt.V5, ClientID: "lamp", RequestProblemInfo: true},
		&packet.Publish{Message: mqtt.Message{Topic: "hall/lamp", Payload: []byte("on")}},
		&packet.Pingresp{},
	} {
		sent, _ = client.Append(sent, p)
	}

	d := packet.NewDecoder(1 << 20)
	stream := strings.NewReader(string(sent))
	for d.Fill(stream) != io.EOF {
		for {
			p, err := d.Next()
			var e *packet.Error
			if errors.As(err, &e) {
				fmt.Printf("answer %#x: %v\n", byte(e.Code), e)
				return
			}
			if p == nil {
				break
			}
			switch p := p.(type) {
			case *packet.Connect:
				fmt.Println(p.ClientID, "speaks MQTT", p.Version)
			case *packet.Publish:
				fmt.Printf("%s: %s\n", p.Message.Topic, p.Message.Payload)
			}
		}
		d.Release()
	}
	// Output:
	// lamp speaks MQTT 5
	// hall/lamp: on
	// answer 0x82: PINGRESP: protocol error: this side does not send such packets
}
