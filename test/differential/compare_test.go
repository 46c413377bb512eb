package differential

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// view is what one client saw of a step, in the form that is compared: the
// answers to its requests in their order, and the messages of each topic in
// theirs. Between the two, and between topics, the order is free.
type view struct {
	answers  []string
	messages []event
}

func viewOf(events []event) view {
	var v view
	for _, e := range events {
		if e.topic == "" {
			v.answers = append(v.answers, e.String())
			continue
		}
		v.messages = merge(v.messages, e)
	}
	// PUBRELs, answers of different kinds and the end of the connection race.
	// Each copy of a message has its own.
	v.answers = dropRepeated(v.answers, packet.PUBREL)
	sort.SliceStable(v.answers, func(i, j int) bool { return rank(v.answers[i]) < rank(v.answers[j]) })
	sort.SliceStable(v.messages, func(i, j int) bool { return v.messages[i].topic < v.messages[j].topic })
	return v
}

// dropRepeated takes answers of a kind that say the same for one.
func dropRepeated(answers []string, kind packet.Type) []string {
	var out []string
	for _, a := range answers {
		if !strings.HasPrefix(a, kind.String()) || !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// rank is what answers are sorted by: those of one kind keep their order, but
// PUBRELs, which follow the order of messages of different topics.
func rank(answer string) string {
	if strings.HasPrefix(answer, packet.PUBREL.String()) {
		return answer
	}
	kind, _, _ := strings.Cut(answer, " ")
	return kind
}

// merge takes several copies of one message, sent for several subscriptions,
// for one: with the highest QoS, with all subscription identifiers, and with
// RETAIN if one of them has it.
func merge(list []event, e event) []event {
	for i := range list {
		m := &list[i]
		if m.topic == e.topic && m.payload == e.payload && m.properties() == e.properties() {
			m.qos, m.retain, m.dup = max(m.qos, e.qos), m.retain || e.retain, m.dup || e.dup
			m.ids = slices.Compact(slices.Sorted(slices.Values(slices.Concat(m.ids, e.ids))))
			m.copies++
			return list
		}
	}
	return append(list, e)
}

// compare returns what differs between what a client saw at mosquitto and at
// ours, and counts what is forgiven at once. resumed says that the client has
// just taken up its session, see offline-copies.
func compare(theirs, ours []event, resumed bool) (diff []string, met map[string]int) {
	met = make(map[string]int)
	for i := range theirs {
		if kind, ok := strings.CutSuffix(theirs[i].kind, aboveMaximum); ok {
			theirs[i].kind = kind
			met[receiveMaximum]++
		}
	}
	a, b := viewOf(theirs), viewOf(ours)
	if resumed {
		met[offlineCopies] = forgive(a.messages, b.messages)
	}
	diff = append(diff, lines(a.answers, b.answers)...)
	show := func(list []event) (out []string) {
		for _, e := range list {
			e.copies = 0
			out = append(out, e.String())
		}
		return out
	}
	diff = append(diff, lines(show(a.messages), show(b.messages))...)
	if len(diff) == 0 {
		for i := range b.messages {
			if b.messages[i].payload != "" && b.messages[i].copies > a.messages[i].copies {
				diff = append(diff, fmt.Sprintf("more copies than mosquitto's %d: %v", a.messages[i].copies, b.messages[i]))
			}
		}
	}
	return diff, met
}

// forgive gives the messages of mosquitto's the identifiers and the RETAIN flag
// of copies that it did not keep.
func forgive(theirs, ours []event) (n int) {
	for i := range min(len(theirs), len(ours)) {
		a, b := &theirs[i], &ours[i]
		if a.payload != b.payload || slices.Equal(a.ids, b.ids) && a.retain == b.retain || a.retain && !b.retain {
			continue
		}
		if !slices.ContainsFunc(a.ids, func(id uint32) bool { return !slices.Contains(b.ids, id) }) {
			a.ids, a.retain = b.ids, b.retain
			n++
		}
	}
	return n
}

// lines says how two lists differ.
func lines(theirs, ours []string) (diff []string) {
	if slices.Equal(theirs, ours) {
		return nil
	}
	for _, s := range theirs {
		if !slices.Contains(ours, s) {
			diff = append(diff, "mosquitto only: "+s)
		}
	}
	for _, s := range ours {
		if !slices.Contains(theirs, s) {
			diff = append(diff, "ours only:      "+s)
		}
	}
	if len(diff) == 0 {
		diff = append(diff, fmt.Sprintf("order: mosquitto %q, ours %q", theirs, ours))
	}
	return diff
}
