package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// terminalPair makes a terminal, and the end at which what is written to it can
// be read.
func terminalPair(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return screen, tty
}

// Long work shows how far it is to a person, and leaves nothing on the screen;
// elsewhere it shows nothing.
func TestProgress(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	c := brokertest.At(t, p.addr).Connect("c")
	for i := range 50 {
		c.Publish(mqtt.Message{Topic: fmt.Sprint("t/", i), Payload: []byte(strings.Repeat("x", 40_000)), QoS: 1, Retain: true}, mqtt.NoMatchingSubscribers)
	}
	file := s.path("retained.jsonl")
	for _, tt := range []struct {
		args []string
		bar  string
	}{
		{[]string{"retained", "export", "--out", file}, `\r\[=* *\] +\d+ %  \d+ of 50 messages\x1b\[K`},
		{[]string{"retained", "import", file}, `\r\[=* *\] +\d+ %  \d+ of \d+ bytes\x1b\[K`},
	} {
		screen, tty := terminalPair(t)
		seen := make(chan string, 1)
		go func() {
			var all []byte
			for b := make([]byte, 4096); ; {
				n, err := screen.Read(b)
				if all = append(all, b[:n]...); err != nil || strings.Contains(string(all), "the end") {
					seen <- string(all)
					return
				}
			}
		}()
		var out strings.Builder
		if status := run(append(tt.args, "--run-dir", s.path("run")), strings.NewReader(""), &out, tty); status != 0 {
			t.Errorf("%q: %d", tt.args, status)
		}
		fmt.Fprint(tty, "the end")
		select {
		case got := <-seen:
			if !regexp.MustCompile(`^(` + tt.bar + `)+\r\x1b\[Kthe end$`).MatchString(got) {
				t.Errorf("%q shows %q", tt.args, got)
			}
		case <-time.After(patience):
			t.Fatal("nothing is shown")
		}
		if !strings.Contains(out.String(), "50 retained messages") {
			t.Errorf("%q says %q", tt.args, out.String())
		}
		if typed := s.typeIn("", tt.args...); typed.wait() != 0 || strings.Contains(typed.err.String(), "[=") {
			t.Errorf("%q shows a bar where nobody looks: %q", tt.args, typed.err.String())
		}
	}
	p.stop()
}
