package ledger

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// run is a run in which all is well: three messages, the second of QoS 1, and
// two sessions. spoil may do otherwise.
func run(spoil func(l *Ledger, deliver func(session string, numbers ...uint64))) Verdict {
	l := New()
	l.Session("exact", mqtt.ExactlyOnce)
	l.Session("once", mqtt.AtLeastOnce)
	for _, qos := range []mqtt.QoS{2, 1, 2} {
		l.Send("p", qos)
	}
	deliver := func(session string, numbers ...uint64) {
		for _, n := range numbers {
			l.Received(session, "p", n)
		}
	}
	spoil(l, deliver)
	return l.Verdict()
}

// Every fault that the books are kept for is found when it is planted, and
// nothing else is taken for one.
func TestVerdict(t *testing.T) {
	type deliver = func(string, ...uint64)
	for name, c := range map[string]struct {
		spoil func(*Ledger, deliver)
		want  Verdict
	}{
		"all is well": {func(l *Ledger, d deliver) {
			l.Acked("p", 1)
			l.Acked("p", 1) // told twice
			l.Acked("p", 2)
			l.Acked("p", 3)
			d("exact", 1, 2, 2, 3)
			d("once", 1, 2, 1, 2, 3)
		}, Verdict{Acked: 3}},
		"what was not acknowledged need not come": {func(l *Ledger, d deliver) {
			l.Acked("p", 1)
			d("exact", 1)
			d("once", 1, 3)
		}, Verdict{Acked: 1}},
		"one is lost": {func(l *Ledger, d deliver) {
			l.Acked("p", 1)
			l.Acked("p", 3)
			d("exact", 1, 3)
			d("once", 1)
		}, Verdict{Acked: 2, Lost: 1}},
		"a session got nothing at all": {func(l *Ledger, d deliver) {
			l.Acked("p", 1)
			l.Acked("p", 2)
			d("once", 1, 2)
		}, Verdict{Acked: 2, Lost: 2}},
		"one is doubled": {func(l *Ledger, d deliver) {
			l.Acked("p", 1)
			d("exact", 1, 1)
			d("once", 1, 1)
		}, Verdict{Acked: 1, Doubled: 1}},
		"two are in the wrong order": {func(l *Ledger, d deliver) {
			d("exact", 2, 1, 3)
			d("once", 1, 2, 3)
		}, Verdict{Disorder: 1}},
		"one that nobody sent": {func(_ *Ledger, d deliver) {
			d("exact", 4)
		}, Verdict{Foreign: 1}},
		"a session is forgotten": {func(l *Ledger, _ deliver) {
			l.Vanished("exact", 0)
		}, Verdict{Vanished: 1}},
		"a payload is not what was sent": {func(l *Ledger, _ deliver) {
			l.Foreign("exact", []byte("q"))
		}, Verdict{Foreign: 1}},
		"what was written last is damaged": {func(l *Ledger, d deliver) {
			l.Acked("p", 1)
			d("exact", 1)
			d("once", 1)
			l.Killed()
			l.Acked("p", 2) // lost with the damage
			l.Killed()
			l.Damaged(1)
			d("exact", 1) // for the broker has forgotten that it is done
			l.Acked("p", 3)
			d("exact", 3)
			d("once", 3)
		}, Verdict{Acked: 3}},
		"what was written before the damage is lost": {func(l *Ledger, d deliver) {
			l.Acked("p", 1)
			d("exact", 1)
			l.Killed()
			l.Acked("p", 2)
			l.Killed()
			l.Damaged(1)
		}, Verdict{Acked: 2, Lost: 1}},
		"what was sent after the damage is lost": {func(l *Ledger, _ deliver) {
			l.Killed()
			l.Damaged(0)
			l.Acked("p", 1)
		}, Verdict{Acked: 1, Lost: 2}},
		"what was sent after the damage is doubled": {func(l *Ledger, d deliver) {
			l.Killed()
			l.Damaged(0)
			n := l.Send("p", 2)
			d("exact", 1, 1, n, n)
		}, Verdict{Doubled: 1}},
		"the damaged store is put aside": {func(l *Ledger, d deliver) {
			l.Acked("p", 1)
			l.Killed()
			l.Vanished("exact", 1) // told before it is known why
			l.Gone()
			l.Session("exact", 2)
			l.Acked("p", 2) // sent before the session began anew
			d("once", 2)
			l.Vanished("once", 1)
		}, Verdict{Acked: 2}},
		"a session is gone that was there after that": {func(l *Ledger, _ deliver) {
			l.Killed()
			l.Gone()
			l.Present("exact", 1)
			l.Killed()
			l.Vanished("exact", 2)
		}, Verdict{Vanished: 1}},
		"a session that began anew misses something": {func(l *Ledger, d deliver) {
			l.Killed()
			l.Gone()
			l.Vanished("exact", 2)
			l.Session("exact", 2)
			l.Acked("p", l.Send("p", 1))
			d("once", 4)
		}, Verdict{Acked: 1, Lost: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(c.spoil)
			if (len(got.Faults) > 0) == got.Good() {
				t.Errorf("good %v, but %q", got.Good(), got.Faults)
			}
			got.Faults = nil
			if got.Acked != c.want.Acked || got.Lost != c.want.Lost || got.Doubled != c.want.Doubled ||
				got.Disorder != c.want.Disorder || got.Foreign != c.want.Foreign || got.Vanished != c.want.Vanished {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	l := New()
	l.Session("a", 1)
	l.Session("b", 1)
	l.Send("p", 1)
	if l.Missing() != 0 || l.AckedMessages() != 0 {
		t.Error("something is owed that was not acknowledged")
	}
	l.Acked("p", 1)
	l.Received("a", "p", 1)
	if l.Missing() != 1 || l.AckedMessages() != 1 {
		t.Errorf("%d missing, %d acknowledged", l.Missing(), l.AckedMessages())
	}
	l.Received("b", "p", 1)
	if l.Missing() != 0 {
		t.Errorf("%d missing", l.Missing())
	}
}
