package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// trafficRows tell what goes over a plugin's streams, as far as anything did,
// and what a store tells of itself.
func trafficRows(p *adminv1.Plugin) [][2]string {
	var rows [][2]string
	t := p.GetTraffic()
	if t.GetStreams() > 0 {
		rows = append(rows, [2]string{"stream", fmt.Sprintf(
			"%d calls in %d frames on %d streams; %d of %d frames away, %d of %d bytes queued; %d answers came too late",
			t.GetCalls(), t.GetFrames(), t.GetStreams(), t.GetFramesAway(), t.GetFramesAwayLimit(),
			t.GetQueuedBytes(), t.GetQueuedBytesLimit(), t.GetLateAnswers())})
	}
	if n := t.GetIllegalAnswers(); n > 0 {
		rows = append(rows, [2]string{"illegal answers", fmt.Sprint(n)})
	}
	if t.GetEvents() > 0 || t.GetEventsLost() > 0 {
		rows = append(rows, [2]string{"events", fmt.Sprintf("told %d, lost %d", t.GetEvents(), t.GetEventsLost())})
	}
	if s := p.GetStore(); s != nil {
		parts := []string{fmt.Sprintf("%d messages, %d bytes, revision %d", s.GetMessages(), s.GetBytes(), s.GetRevision())}
		for _, name := range slices.Sorted(maps.Keys(s.GetDetails())) {
			parts = append(parts, name+" "+printable(s.GetDetails()[name]))
		}
		rows = append(rows, [2]string{"store", strings.Join(parts, ", ")})
	}
	return rows
}
