//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// counterpart is the other end of a client's connection: it answers CONNECT, and
// hands over every other packet.
type counterpart struct {
	url     string
	connect chan *packet.Connect
	packets chan packet.Packet // closed when the client has gone

	mu  sync.Mutex // guards the fields below
	enc packet.Encoder
	nc  net.Conn
}

func newCounterpart(t *testing.T, ack packet.Connack) *counterpart {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &counterpart{url: "tcp://" + l.Addr().String(), connect: make(chan *packet.Connect, 1), packets: make(chan packet.Packet, 10_000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(p.packets)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		if err := p.serve(nc, &ack); err != nil && !errors.Is(err, io.EOF) {
			t.Log(err)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		if p.nc != nil {
			_ = p.nc.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *counterpart) serve(nc net.Conn, ack *packet.Connack) error {
	dec := packet.NewDecoder(1 << 20)
	for {
		got, err := dec.Next()
		if err != nil {
			return err
		}
		if got == nil {
			if err := dec.Fill(nc); err != nil {
				return err
			}
			continue
		}
		if c, ok := got.(*packet.Connect); ok {
			p.mu.Lock()
			p.nc, p.enc = nc, packet.Encoder{Version: c.Version}
			p.mu.Unlock()
			p.connect <- c
			p.send(ack)
			continue
		}
		p.packets <- got
	}
}

func (p *counterpart) send(out packet.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := p.enc.Append(nil, out)
	if err == nil {
		_, _ = p.nc.Write(b)
	}
}

// What the flags say is what CONNECT says.
func TestConnectFlags(t *testing.T) {
	s := newSite(t, "")
	p := newCounterpart(t, packet.Connack{})
	c := s.typeAway("pub", "-L", p.url, "-i", "me", "-t", "t", "-m", "x", "-k", "17", "-u", "u", "-P", "p", "-c", "-x", "90",
		"--receive-maximum", "5", "--maximum-packet-size", "1000", "--connect-property", "a=b",
		"--will-topic", "w", "--will-payload", "gone", "--will-qos", "2", "--will-retain", "--will-delay", "7", "--will-expiry", "0",
		"--will-content-type", "text/plain", "--will-utf8", "--will-response-topic", "r", "--will-correlation-data", "c", "--will-property", "k=v",
		"--will-property", "k=w")
	got := <-p.connect
	if c.wait() != 0 {
		t.Fatal(&c.err)
	}
	want := &packet.Connect{
		Version: mqtt.V5, ClientID: "me", KeepAlive: 17, Username: "u", HasUsername: true, Password: []byte("p"), HasPassword: true,
		SessionExpiry: 90, HasSessionExpiry: true, ReceiveMaximum: 5, MaximumPacketSize: 1000, RequestProblemInfo: true,
		User: []mqtt.UserProperty{{Key: "a", Value: "b"}},
		Will: &packet.Will{
			Topic: "w", Payload: []byte("gone"), QoS: 2, Retain: true, Delay: 7,
			Properties: &mqtt.Properties{
				HasExpiry: true, ContentType: "text/plain", HasPayloadFormat: true, PayloadIsUTF8: true, ResponseTopic: "r",
				CorrelationData: []byte("c"), User: []mqtt.UserProperty{{Key: "k", Value: "v"}, {Key: "k", Value: "w"}},
			},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	for args, want := range map[string]string{
		"--will-payload x":                            "will needs a --will-topic",
		"--will-utf8":                                 "will needs a --will-topic",
		"--will-topic w --will-qos 3":                 "QoS is 0, 1 or 2",
		"--will-topic w --will-property x":            "write NAME=VALUE",
		"--will-topic w --will-content-type x -V 311": "3.1.1 has no properties",
		"--receive-maximum 5 -V 311":                  "3.1.1 has no properties",
	} {
		c := s.typeAway(append(strings.Fields("pub -t t -m x -L "+p.url), strings.Fields(args)...)...)
		if c.wait() == 0 || !strings.Contains(c.err.String(), want) {
			t.Errorf("%s: %d %s", args, c.exit, &c.err)
		}
	}
}

// A client sends as many messages as the broker takes without having acknowledged
// them, and not one more.
func TestPublishWindow(t *testing.T) {
	const messages = 40
	s := newSite(t, "")
	for _, tt := range []struct {
		args    string
		maximum uint16 // Receive Maximum of the broker
		want    int
	}{
		{"-q 1", 8, 8},
		{"-q 2", 8, 8},
		{"-q 1 -M 3", 8, 3},
		{"-q 2 -M 20", 8, 8},
		{"-q 1 -M 1", 8, 1},
		{"-q 1 -M 10", 0, 10},
		{"-q 1 -M 10 -V 311", 0, 10},
		{"-q 2 -M 4 -V 311", 0, 4},
	} {
		t.Run(tt.args, func(t *testing.T) {
			p := newCounterpart(t, packet.Connack{ReceiveMaximum: tt.maximum})
			c := s.typeAway(append([]string{"pub", "-L", p.url, "-t", "t", "-m", "x", "--repeat", fmt.Sprint(messages)}, strings.Fields(tt.args)...)...)
			<-p.connect
			var waiting []*packet.Publish
			arrived := 0
			release := func() { // acknowledges the oldest
				m := waiting[0]
				if m.Message.QoS == mqtt.AtLeastOnce {
					waiting = waiting[1:]
					p.send(&packet.Ack{Kind: packet.PUBACK, ID: m.ID})
					return
				}
				p.send(&packet.Ack{Kind: packet.PUBREC, ID: m.ID})
			}
			for got := range p.packets {
				switch got := got.(type) {
				case *packet.Publish:
					waiting = append(waiting, got)
					if arrived++; len(waiting) > tt.want {
						t.Fatalf("%d messages wait, want at most %d", len(waiting), tt.want)
					}
					if len(waiting) == tt.want || arrived == messages && got.Message.QoS == mqtt.AtLeastOnce {
						release()
					}
					for arrived == messages && got.Message.QoS == mqtt.AtLeastOnce && len(waiting) > 0 {
						release()
					}
				case *packet.Ack:
					if got.Kind == packet.PUBREL {
						waiting = waiting[1:]
						p.send(&packet.Ack{Kind: packet.PUBCOMP, ID: got.ID})
						if arrived == messages && len(waiting) > 0 {
							release()
						}
					}
				}
			}
			if arrived != messages || c.wait() != 0 {
				t.Errorf("%d messages came, exit %d: %s", arrived, c.exit, &c.err)
			}
		})
	}
}

// With the real broker: many messages of a window each, in order.
func TestPublishPipelined(t *testing.T) {
	s := newSite(t, "limits: {receive_maximum: 20, packet_size: 1KiB}\n")
	p := s.start()
	at := "tcp://" + p.addr
	const messages = 2000
	var lines strings.Builder
	for i := range messages {
		fmt.Fprintln(&lines, i)
	}
	for _, args := range []string{"-q 0", "-q 1", "-q 2", "-q 1 -V 311", "-q 2 -V 311"} {
		sub := p.subscribed("-L", at, "-t", "n", "-q", "2", "-C", fmt.Sprint(messages))
		pub := &typed{t: t, args: strings.Fields("pub -l -t n " + args)}
		if pub.exit = runTyped(pub, lines.String(), at); pub.exit != 0 || sub.wait() != 0 {
			t.Fatalf("%s: %s %s", args, &pub.err, &sub.err)
		}
		if sub.out.String() != lines.String() {
			t.Errorf("%s: messages are missing or in another order", args)
		}
	}
	// One that is larger than the broker takes is not sent, and the others are.
	sub := p.subscribed("-L", at, "-t", "n", "-C", "2")
	pub := &typed{t: t, args: strings.Fields("pub -l -t n -q 1")}
	pub.exit = runTyped(pub, "small\n"+strings.Repeat("x", 2000)+"\nsmall too\n", at)
	if pub.exit != int(mqtt.PacketTooLarge) || !strings.Contains(pub.err.String(), "takes packets of 1024 bytes") {
		t.Errorf("%d %s", pub.exit, &pub.err)
	}
	if sub.wait() != 0 || sub.out.String() != "small\nsmall too\n" {
		t.Errorf("%s %s", &sub.out, &sub.err)
	}
	// And neither does the broker send what the client does not take.
	sub = p.subscribed("-L", at, "-t", "n", "-C", "2", "--maximum-packet-size", "100")
	pub = &typed{t: t, args: strings.Fields("pub -l -t n -q 1")}
	pub.exit = runTyped(pub, "a\n"+strings.Repeat("x", 200)+"\nb\n", at)
	if pub.exit != 0 || sub.wait() != 0 || sub.out.String() != "a\nb\n" {
		t.Errorf("%s %s %s", &pub.err, &sub.out, &sub.err)
	}
}

// A will with everything that it may have, as it arrives.
func TestWillProperties(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	at := "tcp://" + p.addr
	will := p.subscribed("-L", at, "-t", "will", "-q", "2", "-C", "1", "-F", "json")
	victim := p.subscribed("-L", at, "-t", "x", "-i", "victim", "--will-topic", "will", "--will-payload", "gone", "--will-qos", "1",
		"--will-expiry", "60", "--will-content-type", "text/plain", "--will-utf8", "--will-response-topic", "r", "--will-correlation-data", "c",
		"--will-property", "k=v")
	s.does("client", "disconnect", "victim")
	const want = `"topic":"will","qos":1,"retain":false,"packet_id":1,"payload":"gone","size":4,"expiry":60,"content_type":"text/plain",` +
		`"payload_is_utf8":true,"response_topic":"r","correlation_data":"Yw==","user_properties":[{"key":"k","value":"v"}]}` + "\n"
	if victim.wait() != 0x98 || will.wait() != 0 || !strings.HasSuffix(will.out.String(), want) {
		t.Errorf("%s %s", &will.out, &victim.err)
	}
}

// What a subscriber may be told to do and to leave, step by step.
func TestSubFlags(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	at := "tcp://" + p.addr
	for _, version := range []string{"5", "3.1.1"} {
		for _, tt := range []struct {
			args string
			exit int
			out  string
		}{
			{"sub -c -i keeper -t q/# -q 1 -E", 0, ""},
			{"pub -t q/1 -m one -q 1", 0, ""},
			{"pub -t q/2 -m two -q 1", 0, ""},
			{"pub -t q/3 -m three -q 1", 0, ""},
			{"sub -c -i keeper -C 2 -N -T q/2", 0, "onethree"},
			{"sub -c -i keeper -U q/# -E", 0, ""},
			{"pub -t q/4 -m four -q 1", 0, ""},
			{"sub -c -i keeper -t other -C 1 -W 100ms", 27, ""},
			{"pub -t old/1 -m 1 -r -q 1", 0, ""},
			{"pub -t old/2 -m 2 -r -q 1", 0, ""},
			{"sub -t old/# -T old/2 --remove-retained -C 1", 0, "1\n"},
			{"sub -t old/# -C 2 -W 300ms", 27, "2\n"},
			{"pub -t old/2 -n -r -q 1", 0, ""},
			{"sub -E", 1, ""},
			{"sub -t a -T #/a", 1, ""},
			{"pub -t a -m x -q 1 --max-inflight=-1", 1, ""},
		} {
			c := &typed{t: t, args: append(strings.Fields(tt.args), "-V", version)}
			if c.exit = runTyped(c, "", at); c.exit != tt.exit || c.out.String() != tt.out {
				t.Errorf("%s, %s: %d %q %s", tt.args, version, c.exit, &c.out, &c.err)
			}
		}
		s.does("session", "delete", "keeper")
	}
}
