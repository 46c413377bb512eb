package packet_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Only what any receiver of the same version may get as it came is lent.
func TestLend(t *testing.T) {
	old := []mqtt.Version{mqtt.V31, mqtt.V311}
	v5 := []mqtt.Version{mqtt.V5}
	for _, tt := range []struct {
		name     string
		versions []mqtt.Version
		wire     string
		lent     bool
	}{
		{"plain", old, `30 ( "a/b" 'xyz' )`, true},
		{"without a payload", old, `30 ( "a/b" )`, true},
		{"plain, MQTT 5", v5, `30 ( "a/b" 00 'xyz' )`, true},
		{"without a payload, MQTT 5", v5, `30 ( "a/b" 00 )`, true},
		{"retained", old, `31 ( "a/b" 'xyz' )`, false},
		{"QoS 1", old, `32 ( "a/b" 0001 'xyz' )`, false},
		{"QoS 2", old, `34 ( "a/b" 0001 'xyz' )`, false},
		{"with a property", v5, `30 ( "a/b" ( 01 01 ) 'xyz' )`, false},
		{"with an alias", v5, `30 ( "a/b" ( 23 0001 ) 'xyz' )`, false},
		{"in an alias' stead", v5, `30 ( "" ( 23 0001 ) 'xyz' )`, false},
		{"longer than it must be", old, `30 8700 "a/b" 'xy'`, false},
		{"large", old, `30 ( "a/b" '` + strings.Repeat("x", 5000) + `' )`, false},
		{"another packet", old, `c0 ( )`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range tt.versions {
				in := wire(tt.wire)
				d := connected(t, v)
				d.Lend(true)
				if err := d.Fill(bytes.NewReader(in)); err != nil {
					t.Fatal(err)
				}
				for d.Buffered() < len(in) {
					if err := d.Fill(bytes.NewReader(in[d.Buffered():])); err != nil {
						t.Fatal(err)
					}
				}
				p, err := d.Next()
				if p == nil || err != nil {
					t.Fatalf("got %v, %v", p, err)
				}
				whole, lent := d.Lent()
				if lent != tt.lent {
					t.Fatalf("%v: lent is %v", v, lent)
				}
				if lent && !bytes.Equal(whole, in) {
					t.Errorf("%v: lent % x", v, whole)
				}
				if _, err := d.Next(); err != nil {
					t.Fatal(err)
				}
				if _, lent := d.Lent(); lent {
					t.Error("nothing is still lent")
				}
			}
		})
	}
}

// What is lent is not allocated.
func TestLendAllocatesNothing(t *testing.T) {
	in := wire(`30 ( "a/b" 'xyz' ) 30 ( "a/b" 'uvw' )`)
	d := connected(t, mqtt.V311)
	d.Lend(true)
	r := bytes.NewReader(nil)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset(in)
		if err := d.Fill(r); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := d.Next(); err != nil {
				t.Fatal(err)
			}
			if _, lent := d.Lent(); !lent {
				t.Fatal("not lent")
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
