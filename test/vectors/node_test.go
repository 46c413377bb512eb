package vectors

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// nodeVector is one thing that mqtt-packet's tests do, or what it made of a
// packet of ours.
type nodeVector struct {
	Kind    string            `json:"kind"` // parse or generate
	Name    string            `json:"name"`
	Version mqtt.Version      `json:"version"` // 0: as the packet says, or 3.1.1
	Chunks  []string          `json:"chunks"`  // hex
	Packets []json.RawMessage `json:"packets"`
	Error   string            `json:"error"`
}

// node runs one of the scripts of this folder and reads the lines it prints.
func node(t *testing.T, script string, in io.Reader) (out []nodeVector) {
	t.Helper()
	t.Setenv("NODE_PATH", program.NodeModules(t))
	lines := program.Run(t, "", in, program.Need(t, "node", "nodejs"), script)
	for line := range bytes.Lines(lines) {
		var v nodeVector
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, v)
	}
	return out
}

func (n *nodeVector) version() mqtt.Version {
	if n.Version == 0 {
		return mqtt.V311
	}
	return n.Version
}

func (n *nodeVector) bytes(t *testing.T) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.Join(n.Chunks, ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestNode holds our codec against the test vectors of mqtt-packet.
func TestNode(t *testing.T) {
	met := make(map[string]int)
	counts := make(map[string]int)
	var ours []sent
	for _, v := range node(t, "record.js", nil) {
		name := v.Kind + " " + v.Name
		if met[name]++; met[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, met[name])
		}
		met[name] = max(met[name], 1)
		t.Run(name, func(t *testing.T) {
			why := nodeExceptions[name]
			p, err := checkNode(t, &v, counts)
			switch {
			case err != nil && why == "":
				t.Error(err)
			case err == nil && why != "":
				t.Errorf("there is no difference any more: strike the exception %q", why)
			case p != nil:
				ours = append(ours, sent{v.version(), p})
			}
		})
	}
	for name := range nodeExceptions {
		if met[name] == 0 {
			t.Errorf("mqtt-packet has no case %q: strike the exception", name)
		}
	}
	t.Logf("%v", counts)
	if counts["good"] < 250 || counts["bad"] < 60 {
		t.Errorf("%v: mqtt-packet 9.0.2 had more", counts)
	}
	t.Run("mirror", func(t *testing.T) { mirror(t, ours) })
}

// checkNode says how our codec differs from a vector. It returns what it has
// decoded.
func checkNode(t *testing.T, v *nodeVector, counts map[string]int) (packet.Packet, error) {
	t.Helper()
	switch {
	case v.Kind == "generate" && v.Error != "":
		counts["objects that are none"]++
		return nil, nil // what JavaScript may hold and our types can't
	case v.Error != "":
		counts["bad"]++
		return nil, nodeBad(v, v.bytes(t))
	case len(v.Packets) == 0:
		counts["incomplete"]++
		if p, d := decodeNone(v.bytes(t), v.version()); p != nil {
			return nil, fmt.Errorf("decoded, %s: %#v", d, p)
		}
		return nil, nil
	}
	counts["good"]++
	return nodeGood(v, v.bytes(t))
}

// nodeBad wants a stream to be refused, and not later than mqtt-packet does.
func nodeBad(v *nodeVector, raw []byte) error {
	dirs := []direction{toServer, toClient}
	if len(v.Packets) > 0 {
		dirs = dirs[:1] // those begin with CONNECT
	}
	for _, d := range dirs {
		dec := packet.NewClientDecoder(v.version(), 0)
		if d == toServer {
			dec = packet.NewDecoder(0)
			if packet.Type(raw[0]>>4) != packet.CONNECT {
				if err := connect(dec, v.version()); err != nil {
					return err
				}
			}
		}
		for in := bytes.NewReader(raw); in.Len() > 0; {
			if err := dec.Fill(in); err != nil {
				return err
			}
		}
		n := 0
		p, err := dec.Next()
		for ; p != nil; p, err = dec.Next() {
			n++
		}
		if err == nil || n > len(v.Packets) {
			return fmt.Errorf("%s: %d packets decoded and %v, mqtt-packet: %d and %s", d, n, err, len(v.Packets), v.Error)
		}
	}
	return nil
}

func nodeGood(v *nodeVector, raw []byte) (packet.Packet, error) {
	if len(v.Packets) != 1 {
		return nil, fmt.Errorf("%d packets", len(v.Packets))
	}
	var n nodePacket
	if err := json.Unmarshal(v.Packets[0], &n); err != nil {
		return nil, err
	}
	want, err := fromNode(&n, v.version())
	if err != nil {
		return nil, err
	}
	got, err := decodeAny(raw, v.version())
	if err != nil {
		return nil, fmt.Errorf("not decoded: %w", err)
	}
	if d := difference(v.version(), want, got); d != "" {
		return nil, fmt.Errorf("decoded differently (-mqtt-packet +ours):\n%s", d)
	}
	return got, nil
}

// sent is a packet in a version.
type sent struct {
	version mqtt.Version
	packet  packet.Packet
}

// mirror has mqtt-packet read what we write and write it again, and wants both
// to be the packet that it was.
func mirror(t *testing.T, list []sent) {
	t.Helper()
	var in bytes.Buffer
	for _, s := range list {
		raw, err := (&packet.Encoder{Version: s.version}).Append(nil, s.packet)
		if err != nil {
			t.Fatalf("%#v: %v", s.packet, err)
		}
		fmt.Fprintf(&in, "{\"version\":%d,\"hex\":\"%x\"}\n", s.version, raw)
	}
	answers := node(t, "mirror.js", &in)
	if len(answers) != len(list) {
		t.Fatalf("%d answers to %d packets", len(answers), len(list))
	}
	for i, a := range answers {
		if err := checkMirror(t, &list[i], &a); err != nil {
			t.Errorf("%v: %v", list[i].version, err)
		}
	}
}

func checkMirror(t *testing.T, s *sent, a *nodeVector) error {
	t.Helper()
	if a.Error != "" || len(a.Packets) != 1 {
		return fmt.Errorf("%#v: mqtt-packet finds %d packets and %q", s.packet, len(a.Packets), a.Error)
	}
	got, err := nodeGood(a, a.bytes(t))
	if err != nil {
		return fmt.Errorf("what mqtt-packet read and wrote again: %w", err)
	}
	if d := difference(s.version, s.packet, got); d != "" {
		return fmt.Errorf("not the packet that was sent (-sent +mirrored):\n%s", d)
	}
	return nil
}
