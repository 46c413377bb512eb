package broker

import (
	"math"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// A steady rate is what all averages come to; after it ends they fall by 1/e in
// their own time.
func TestLoads(t *testing.T) {
	var l loads
	var s counters
	now := time.Unix(1000, 0)
	step := func(messages uint64) {
		now = now.Add(10 * time.Second)
		s.in[0].messages[mqtt.AtMostOnce].Add(messages)
		l.update(&s, now)
	}
	averages := func() [3]float64 { return l.all[3].averages }
	step(500) // what came before the first look counts for nothing
	if averages() != [3]float64{} {
		t.Errorf("at the start: %v", averages())
	}
	for range 6 * 150 {
		step(20)
	}
	for i, a := range averages() {
		if math.Abs(a-120) > 0.01 {
			t.Errorf("over %d min: %v a minute, want 120", loadMinutes[i], a)
		}
	}
	for range 6 {
		step(0)
	}
	for i, want := range []float64{120 / math.E, 120 * math.Exp(-1.0/5), 120 * math.Exp(-1.0/15)} {
		if a := averages()[i]; math.Abs(a-want) > 0.01 {
			t.Errorf("over %d min, a minute later: %v, want %v", loadMinutes[i], a, want)
		}
	}
	if v := l.update(&s, now)[9]; v.topic != "load/publish/received/1min" || v.value != "44.15" {
		t.Errorf("got %+v", v)
	}
}
