package wire_test

import (
	"bytes"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

func TestBytes(t *testing.T) {
	for notation, want := range map[string]string{
		``:                      "",
		"c0 00":                 "\xc0\x00",
		"c000\n":                "\xc0\x00",
		`'ab'"ab"`:              "ab\x00\x02ab",
		`30 ( "a" ( 01 00 ) )`:  "\x30\x06\x00\x01a\x02\x01\x00",
		`[ 61*3 ]`:              "\x00\x03aaa",
		`( [ "" ] )`:            "\x04\x00\x02\x00\x00",
		`82(0001 00 "a"00)`:     "\x82\x07\x00\x01\x00\x00\x01a\x00",
		`( c328*100 )`:          "\xc8\x01" + string(bytes.Repeat([]byte("\xc3\x28"), 100)),
		`'it is (not) [a] " "'`: `it is (not) [a] " "`,
	} {
		if got := wire.Bytes(notation); string(got) != want {
			t.Errorf("%s: got % x, want % x", notation, got, want)
		}
	}
}

func TestBytesPanics(t *testing.T) {
	for _, notation := range []string{"(", ")", "( ]", "[ )", "3", "xx", "61*x"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", notation)
				}
			}()
			wire.Bytes(notation)
		}()
	}
}
