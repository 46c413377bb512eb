package load

import (
	"bytes"
	"slices"
	"testing"
)

// Packets come out as they went in, however the stream is cut.
func TestSplit(t *testing.T) {
	long := Publish("bench/1", 1, false, 7, bytes.Repeat([]byte("x"), 300))
	stream := slices.Concat(Connect("c", true, "u", "p"), long, []byte{0xD0, 0}, Publish("bench/2", 0, true, 0, nil))
	for cut := range stream {
		var types []byte
		var data []byte
		for _, part := range [][]byte{stream[:cut], stream[cut:]} {
			data = append(data, part...)
			rest, err := split(data, func(p Packet) {
				types = append(types, p.Type)
				if p.Type == publish && len(p.Body) > 100 {
					if qos, id, payload, err := p.message(); err != nil || qos != 1 || id != 7 || len(payload) != 300 {
						t.Errorf("cut at %d: qos %d id %d payload %d: %v", cut, qos, id, len(payload), err)
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			data = slices.Clone(rest)
		}
		if !slices.Equal(types, []byte{1, 3, 13, 3}) || len(data) > 0 {
			t.Errorf("cut at %d: %v, %d bytes left", cut, types, len(data))
		}
	}
	if _, err := split([]byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1}, func(Packet) {}); err == nil {
		t.Error("a length of five bytes passed")
	}
}
