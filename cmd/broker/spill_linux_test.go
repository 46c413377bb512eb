package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// A queue that is larger than the memory which the broker takes is complete and in
// order after kill -9. GATEHOUSE_TEST_SPILL=10000000 has so many small messages.
func TestQueueLargerThanMemory(t *testing.T) {
	n := 30_000
	if text := os.Getenv("GATEHOUSE_TEST_SPILL"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const queued, limit = 280 << 20, 250 << 20
	size := queued / n
	s := keepingSite(t, "sessions: {durability: interval, queue_messages: 100000000, queue_bytes: 100GiB}\n")
	s.prepare = func(cmd *exec.Cmd) {
		if cmd.Env == nil {
			cmd.Env = os.Environ()
		}
		cmd.Env = append(cmd.Env, "GOMEMLIMIT=160MiB")
	}
	p := s.start()
	b := brokertest.At(t, p.addr)
	sub := b.Connect("sub", brokertest.Resume)
	sub.Subscribe(1, "q/#")
	sub.Send(&packet.Disconnect{})
	sub.ExpectClosed()
	began := time.Now()
	fillQueueWith(b, n, size)
	filled := time.Since(began)
	full := resident(t, p.cmd.Process.Pid)
	p.kill()

	began = time.Now()
	p = s.start()
	started := time.Since(began)
	again := resident(t, p.cmd.Process.Pid)
	began = time.Now()
	drainQueueWith(t, brokertest.At(t, p.addr), n, size)
	drained := time.Since(began)
	empty := resident(t, p.cmd.Process.Pid)
	p.stop()
	t.Logf("%d messages of %d bytes: %d MiB after %.0f/s, %d MiB %v after the start, %d MiB after draining at %.0f/s",
		n, size, full>>20, float64(n)/filled.Seconds(), again>>20, started, empty>>20, float64(n)/drained.Seconds())
	if most := max(full, again, empty); most > limit {
		t.Errorf("the broker takes %d MiB", most>>20)
	}
}
