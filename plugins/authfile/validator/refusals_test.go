package validator

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestRefusalLine(t *testing.T) {
	log := newLogbook()
	r := newRefusals(log.logger())
	ru := refuse(badPassword, pluginapi.BadUserNameOrPassword, "wrong password", "")
	r.refused(t.Context(), login("alice", "s3cret", "alice-1"), ru)
	want := `WARN connection refused client="alice-1" peer="192.0.2.1:4711" reason="wrong password" code="bad user name or password" user="alice"`
	if got := log.await(t, "refused"); got != want {
		t.Errorf("line is\n%s\nwant\n%s", got, want)
	}
	r.refused(t.Context(), &pluginapi.Connect{ClientID: "x", PeerAddress: "unix"}, ru)
	if got := log.await(t, "refused"); strings.Contains(got, "user=") {
		t.Errorf("line of a client without a user name is %s", got)
	}
}

func TestRefusalNamesAreCut(t *testing.T) {
	log := newLogbook()
	r := newRefusals(log.logger())
	long := strings.Repeat("ä", 30_000)
	r.refused(t.Context(), login(long, "x", long), refuse(badPassword, 0, "wrong password", ""))
	line := log.await(t, "refused")
	if len(line) > 1000 || !strings.Contains(line, strings.Repeat("ä", 60)+"ääää...") {
		t.Errorf("line has %d bytes: %.300s", len(line), line)
	}
}

func TestRefusalsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLogbook()
		r := newRefusals(log.logger())
		flood := func(n int) []string {
			for range n {
				r.refused(t.Context(), login("x", "x", "x"), refuse(unknownUser, 0, "unknown user", ""))
			}
			return log.drain()
		}
		if got := flood(1000); len(got) != refusalBurst {
			t.Errorf("%d lines at once, want %d", len(got), refusalBurst)
		}
		time.Sleep(refusalInterval)
		got := flood(1000)
		if len(got) != 1 || !strings.Contains(got[0], `not_logged_before="980"`) {
			t.Errorf("after a while: %q", got)
		}
		time.Sleep(time.Hour)
		got = flood(1000)
		if len(got) != refusalBurst || !strings.Contains(got[0], `not_logged_before="999"`) || strings.Contains(got[1], "not_logged") {
			t.Errorf("after an hour: %d lines, the first is %q", len(got), got[0])
		}
	})
}
