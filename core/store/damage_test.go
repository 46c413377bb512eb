package store

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// damagedFolder is a folder with a store of n messages, a block of which has a bit
// that is flipped.
func damagedFolder(t *testing.T, n int) string {
	t.Helper()
	dir := writtenFolder(t, n)
	payloads(t, vfs.Default, dir) // so that there are tables
	name := files(t, dir, "*.sst")[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A queue with a damaged block stands still there, which is said once and counted.
// When it was cleared, it is used again, and the store goes on all the time.
func TestDamagedBlock(t *testing.T) {
	const n = 10_000
	dir := damagedFolder(t, n)
	var lines bytes.Buffer
	o := Options{RetryEvery: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&lines, nil))}
	s, err := open(vfs.Default, dir, o.withDefaults())
	if err != nil || s.Aside() != "" {
		t.Fatal(err, s.Aside())
	}
	stop := running(t, s)
	var c *session.Session
	var st *session.State
	for st, err = range s.Load(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		c = session.Restore(st, session.Limits{}, s.Log())
	}
	c.Attach(session.Attachment{Version: mqtt.V5, ReceiveMaximum: 65535})
	read := 0
	for {
		list := c.Next(nil, 100, time.Now(), nil)
		for _, o := range list {
			c.Puback(o.ID)
		}
		if read += len(list); len(list) == 0 && s.Stats().Unreadable > 0 {
			break
		}
	}
	waiting, _ := c.QueueLen()
	if read == 0 || read+waiting != n {
		t.Fatalf("%d messages were read and %d wait", read, waiting)
	}
	for range 5 { // however often it is tried
		if _, _, err := s.Page(st.Number, st.Last-uint64(waiting)+1, st.Last, 100, 1<<20); err == nil { //nolint:gosec // not negative
			t.Fatal("it can be read")
		}
	}
	if st := s.Stats(); st.Unreadable != 1 || st.Failure != nil {
		t.Errorf("%d sessions can't be read, and nothing can be written: %v", st.Unreadable, st.Failure)
	}
	if dropped, more := c.Clear(); len(dropped)+more != waiting {
		t.Errorf("%d and %d messages were dropped of %d", len(dropped), more, waiting)
	}
	waitWritten(t, s.Log())
	enqueue(c, n, 10)
	waitWritten(t, s.Log())
	if list := c.Next(nil, 100, time.Now(), nil); len(list) != 10 {
		t.Errorf("%d messages came after that", len(list))
	}
	if unreadable := s.Stats().Unreadable; unreadable != 0 {
		t.Errorf("%d sessions can't be read", unreadable)
	}
	stop()
	if got := strings.Count(lines.String(), "can't be read"); got != 1 {
		t.Errorf("%d lines: %s", got, lines.String())
	}
}
