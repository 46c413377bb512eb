package broker_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// Without a descriptor to park with, an idle client stays with its reader.
func TestIdleWithoutDescriptors(t *testing.T) {
	b := startIdle(t)
	c := b.Connect("c")
	waitIdle(t, b, 1)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		waitIdle(t, b, 1)
	}()
	for range 3 { // the last that is not idle any more closes the descriptor
		c.Send(&packet.Pingreq{})
		c.Expect(&packet.Pingresp{})
		c.ExpectSilence()
	}
}
