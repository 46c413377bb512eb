package conformance_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// The tests of bad input follow a catalogue, testdata/bad-input.tsv: each of its
// identifiers is a row of a table here, one table for each letter, and a subtest.
// Rows with a plus in their name are further ones of our own.

// bad is one row: what a client does, and what becomes of it. Afterwards the
// broker must serve others as before, which the runner sees to.
type bad struct {
	id string

	// after is the version of a good CONNECT that goes before raw. If it is
	// zero, raw is the beginning, and version the one that answers are read in.
	after, version mqtt.Version
	raw            string // in the notation of package wire
	want           outcome

	// run is done instead where one dialogue is not enough.
	run func(t *testing.T, b *brokertest.Broker)
}

// outcome is what the broker says to a client and does with its connection.
type outcome struct {
	says  packet.Packet // nil for nothing; of refusals only the code counts
	stays bool
}

// ends is the answer of a connection that is just closed.
func ends() outcome { return outcome{} }

// tells is the answer of MQTT 5 to a connected client.
func tells(code mqtt.ReasonCode) outcome { return outcome{says: &packet.Disconnect{Code: code}} }

// refuses is the answer to a CONNECT.
func refuses(code mqtt.ReasonCode) outcome { return outcome{says: &packet.Connack{Code: code}} }

// rejects is the answer to a SUBSCRIBE whose packet identifier is 1, of one
// filter that is not valid.
func rejects(code mqtt.ReasonCode) outcome {
	return outcome{says: &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{code}}, stays: true}
}

// says is the answer of one packet, after which the connection goes on.
func says(p packet.Packet) outcome { return outcome{says: p, stays: true} }

// code is the reason code of a refusal; 0 if the answer is none.
func (a outcome) code() mqtt.ReasonCode {
	switch p := a.says.(type) {
	case *packet.Disconnect:
		return p.Code
	case *packet.Connack:
		return p.Code
	case *packet.Suback:
		return p.Codes[0]
	case *packet.Ack:
		return p.Code
	default:
		return 0
	}
}

// survive runs the rows of one letter, as TestBadInput/LETTER/ID, all against
// one broker.
func survive(t *testing.T, rows []bad) {
	t.Helper()
	b := brokertest.Start(t, broker.Options{})
	w := newWitness(b)
	for _, row := range rows {
		t.Run(row.id, func(t *testing.T) {
			b := b.In(t)
			if row.run != nil {
				row.run(t, b)
			} else {
				row.play(t, b)
			}
			w.testifies(t, b)
		})
	}
}

func (row *bad) play(t *testing.T, b *brokertest.Broker) {
	t.Helper()
	var c *brokertest.Client
	if row.after != 0 {
		c = b.Connect("bad "+row.id, speaking(row.after))
	} else {
		c = b.Dial(row.version)
	}
	c.SendBytes(wire.Bytes(row.raw))
	row.want.check(t, c)
}

func (a outcome) check(t *testing.T, c *brokertest.Client) {
	t.Helper()
	if a.says != nil {
		got := c.Next()
		if g, w := withoutReason(got), withoutReason(a.says); g != w {
			t.Fatalf("got %s, want %s", g, w)
		}
	}
	if a.stays {
		c.ExpectNothing()
	} else {
		c.ExpectClosed()
	}
}

// withoutReason shows of a packet what a row of a table can say beforehand.
func withoutReason(p packet.Packet) string {
	switch p := p.(type) {
	case *packet.Disconnect:
		return fmt.Sprintf("DISCONNECT 0x%02x", byte(p.Code))
	case *packet.Connack:
		return fmt.Sprintf("CONNACK 0x%02x", byte(p.Code))
	case *packet.Suback:
		return fmt.Sprintf("SUBACK %d %v", p.ID, p.Codes)
	default:
		return fmt.Sprintf("%T %+v", p, p)
	}
}

// witness is a client that is connected all the time that others misbehave.
type witness struct{ client *brokertest.Client }

func newWitness(b *brokertest.Broker) witness {
	c := b.Connect("witness")
	c.Subscribe(1, "witness/question")
	return witness{c}
}

// testifies proves that the broker serves the witness and newcomers.
func (w witness) testifies(t *testing.T, b *brokertest.Broker) {
	t.Helper()
	c := w.client.In(t)
	newcomer := b.Connect("newcomer", speaking(mqtt.V311))
	newcomer.Subscribe(1, "witness/answer")
	newcomer.Publish(say("witness/question", t.Name(), 1), mqtt.Success)
	c.ExpectMessage("witness/question", t.Name())
	c.Publish(say("witness/answer", t.Name(), 1), mqtt.Success)
	newcomer.ExpectMessage("witness/answer", t.Name())
	newcomer.Disconnect()
}

// raw opens a connection for bytes that nobody decodes.
func raw(t *testing.T, b *brokertest.Broker) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", b.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(brokertest.Patience))
	return nc.(*net.TCPConn)
}

// utter opens a connection, says all of it, and reads until the broker has
// heard everything and closed.
func utter(t *testing.T, b *brokertest.Broker, said []byte) []byte {
	t.Helper()
	nc := raw(t, b)
	_, err := nc.Write(said)
	if err == nil {
		err = nc.CloseWrite()
	}
	if err != nil && !reset(err) {
		t.Fatal(err)
	}
	heard, err := io.ReadAll(nc)
	if err != nil && !reset(err) {
		t.Fatalf("% .64x: the broker does not close: %v", said, err)
	}
	_ = nc.Close()
	return heard
}

// reset reports whether the other side closed a connection in the middle.
func reset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// crowd runs f for 0 to n-1, some at a time.
func crowd(n int, f func(i int)) {
	var wg sync.WaitGroup
	const atOnce = 16
	for lane := range atOnce {
		wg.Go(func() {
			for i := lane; i < n; i += atOnce {
				f(i)
			}
		})
	}
	wg.Wait()
}

// connects are good CONNECT packets whose client identifier is %s.
var connects = map[mqtt.Version]string{
	mqtt.V31:  `10 ( "MQIsdp" 03 02 003c "%s" )`,
	mqtt.V311: `10 ( "MQTT" 04 02 003c "%s" )`,
	mqtt.V5:   `10 ( "MQTT" 05 02 003c 00 "%s" )`,
}

// connectAs is a good CONNECT.
func connectAs(v mqtt.Version, id string) string { return fmt.Sprintf(connects[v], id) }

func TestBadInput(t *testing.T) {
	for _, letter := range slices.Sorted(maps.Keys(badInput)) {
		t.Run(letter, func(t *testing.T) { survive(t, badInput[letter]) })
	}
}

// badInput are the tables by their letters.
var badInput = map[string][]bad{
	"A": badFraming, "B": badConnect, "C": badPublish, "D": badSubscribe, "E": badConduct, "F": badWebSocket,
}

// ours reports whether a row is not of the catalogue.
func (row *bad) ours() bool { return strings.Contains(row.id, "+") }
