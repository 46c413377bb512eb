package differential

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// difference is one that DIFFERENCES.md explains under its name.
type difference struct {
	name string
	// is reports whether a line of a comparison, after step s of client m, is
	// this difference.
	is func(g *generator, s *step, line string) bool
}

// explained are the rows of DIFFERENCES.md.
var explained = []difference{
	{"takeover-disconnect", func(_ *generator, s *step, line string) bool {
		return s.op == opConnect && strings.HasSuffix(line, "ours only:      DISCONNECT codes=8e")
	}},
	{"share-retained", func(_ *generator, s *step, line string) bool {
		return s.op == opRequest && (strings.HasPrefix(line, members+": mosquitto only: PUBLISH ") &&
			strings.Contains(line, "retain=true") || strings.HasPrefix(line, members+": mosquitto only: PUBREL"))
	}},
	{"own-will", func(_ *generator, s *step, line string) bool {
		return s.op == opConnect && s.will != "" && strings.HasPrefix(line, viewer(s.slot)+": mosquitto only: ") &&
			strings.Contains(line, fmt.Sprintf("%q", s.will))
	}},
	{"no-local-retained", func(g *generator, s *step, line string) bool {
		m := payload.FindStringSubmatch(line)
		if m == nil || !strings.Contains(line, " only:") {
			return false
		}
		who, _, _ := strings.Cut(line, ":")
		if s.noLocal() && g.author[m[1]] == s.slot && who == viewer(s.slot) {
			// Ours may have a copy for another filter of the same SUBSCRIBE.
			g.stray[who+m[1]] = true
			return true
		}
		// The rest of the exchange may come later.
		return g.stray[who+m[1]] && strings.Contains(line, "mosquitto only: ")
	}},
	{"unsuback-not-found", func(_ *generator, s *step, line string) bool {
		return s.unsuback != nil && (strings.Contains(line, ": mosquitto only: UNSUBACK ") ||
			strings.HasSuffix(line, fmt.Sprintf(" codes=%x", s.unsuback)))
	}},
	{"no-subscribers", func(_ *generator, _ *step, line string) bool {
		return noSubscribers.MatchString(line)
	}},
}

// The differences that are not told from one line: see compare and late.
const (
	offlineCopies  = "offline-copies"
	receiveMaximum = "receive-maximum"
	lateQoS0       = "late-qos0"
)

// late are the QoS 0 messages that mosquitto has sent past a client's closed
// window, by slots. Ours sends them in their turn.
type late map[int][]string

// is reports whether a difference at a slot is such a message, on its way into
// the list or out of it.
func (l late) is(g *generator, slot int, diff string) bool {
	if slot >= len(g.models) || g.models[slot].class != narrow || !strings.Contains(diff, " qos=0 ") {
		return false
	}
	if m, ok := strings.CutPrefix(diff, "mosquitto only: "); ok && g.models[slot].hold != holdNothing {
		l[slot] = append(l[slot], m)
		return true
	}
	m, ok := strings.CutPrefix(diff, "ours only:      ")
	if !ok || !slices.Contains(l[slot], m) {
		return false
	}
	l[slot] = slices.DeleteFunc(l[slot], func(s string) bool { return s == m })
	return true
}

// connections forgets what was for a connection that step s ends.
func (l late) connections(s *step) {
	if s.op == opConnect || s.op == opDisconnect || s.op == opDrop || s.op == opHalf {
		delete(l, s.slot)
	}
}

// missing are the messages that should have come.
func (l late) missing(g *generator) (diff []string) {
	for slot, list := range l {
		// Messages without payload can't be told apart, so one may stand for two.
		list = slices.DeleteFunc(slices.Clone(list), func(m string) bool { return strings.Contains(m, ` "" `) })
		if len(list) > 0 && g.models[slot].hold == holdNothing {
			diff = append(diff, fmt.Sprintf("%s: ours still misses %q", viewer(slot), list))
		}
	}
	return diff
}

var noSubscribers = regexp.MustCompile(`: (mosquitto only: PUB(REC|ACK) id=\d+ codes=00|ours only:      PUB(REC|ACK) id=\d+ codes=10)$`)

// payload finds the one of a message.
var payload = regexp.MustCompile(`"([a-z]+[0-9]+\.*)"`)

// noLocal reports whether the step subscribes with No Local.
func (s *step) noLocal() bool {
	if s.op != opRequest {
		return false
	}
	p, ok := s.packets[0].(*packet.Subscribe)
	return ok && slices.ContainsFunc(p.Subscriptions, func(sub mqtt.Subscription) bool { return sub.NoLocal })
}

// explain returns the name of the difference that a line is, "" for none.
func explain(g *generator, s *step, line string) string {
	for _, d := range explained {
		if d.is(g, s, line) {
			return d.name
		}
	}
	return ""
}

// TestDifferencesAreExplained compares the table with the code.
func TestDifferencesAreExplained(t *testing.T) {
	text, err := os.ReadFile("DIFFERENCES.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|").FindAllSubmatch(text, -1) {
		rows = append(rows, string(m[1]))
	}
	names := []string{lateQoS0, offlineCopies, receiveMaximum}
	for _, d := range explained {
		names = append(names, d.name)
	}
	for _, a := range allAvoided {
		names = append(names, a.name)
	}
	slices.Sort(rows)
	slices.Sort(names)
	if !slices.Equal(rows, names) {
		t.Errorf("rows of DIFFERENCES.md: %q\nin the code: %q", rows, names)
	}
}
