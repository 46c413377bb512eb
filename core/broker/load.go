package broker

import (
	"math"
	"strconv"
	"time"
)

// loads are the moving averages below $SYS/broker/load/: how often something
// happens in a minute, over the last 1, 5 and 15 minutes. The zero value is
// ready for use; it belongs to one goroutine.
type loads struct {
	last time.Time // of the update before; zero before the first
	all  [9]load
}

// load is one count with its averages.
type load struct {
	count    uint64
	averages [3]float64
}

var (
	loadNames = [len(loads{}.all)]string{
		"messages/received", "messages/sent", "publish/dropped", "publish/received", "publish/sent",
		"bytes/received", "bytes/sent", "sockets", "connections",
	}
	loadMinutes = [len(load{}.averages)]int{1, 5, 15}
)

// update takes the counts as they are now and returns all averages.
func (l *loads) update(s *counters, now time.Time) []sysValue {
	total := s.flowed()
	counts := [len(l.all)]uint64{
		s.packetsIn.Load(), s.packetsOut.Load(), s.messagesDropped.Load(), total.messagesIn, total.messagesOut,
		s.bytesIn.Load(), s.bytesOut.Load(), s.sockets.Load(), s.connectPackets.Load(),
	}
	minutes := now.Sub(l.last).Minutes()
	if l.last.IsZero() {
		minutes = 0
	}
	l.last = now
	values := make([]sysValue, 0, len(l.all)*len(loadMinutes))
	for i := range l.all {
		l.all[i].update(counts[i], minutes)
		for j, over := range loadMinutes {
			values = append(values, sysValue{
				"load/" + loadNames[i] + "/" + strconv.Itoa(over) + "min",
				strconv.FormatFloat(l.all[i].averages[j], 'f', 2, 64),
			})
		}
	}
	return values
}

// update weighs the time since the last update against the time before it,
// which counts the less the longer ago it is.
func (l *load) update(count uint64, minutes float64) {
	happened := float64(count - l.count)
	l.count = count
	if minutes <= 0 {
		return
	}
	for i, over := range loadMinutes {
		past := math.Exp(-minutes / float64(over))
		l.averages[i] = happened/minutes*(1-past) + l.averages[i]*past
	}
}
