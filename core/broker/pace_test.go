package broker

import (
	"testing"
	"time"
)

// A client that always sends as soon as it may gets its rate and no more,
// however much it sends at once; what it did not use is worth a second.
func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name           string
		limits         connLimits
		size, together int
		perSecond      float64 // messages
	}{
		{"messages", connLimits{messageRate: 2}, 10, 1, 2},
		{"many at once", connLimits{messageRate: 50}, 10, 500, 50},
		{"bytes", connLimits{byteRate: 1000}, 100, 3, 10},
		{"both", connLimits{messageRate: 100, byteRate: 1000}, 90, 1, 1000.0 / 90},
		{"less than one", connLimits{messageRate: 0.01}, 0, 1, 0.01},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			start := now
			var p *pace
			p = p.follow(&tt.limits, now)
			if p.due(now) != 0 {
				t.Error("it is held back before it sent anything")
			}
			sent := 0
			for range 200 {
				for range tt.together {
					p.count(tt.size)
				}
				sent += tt.together
				now = now.Add(p.due(now))
			}
			took := now.Sub(start) + paceSlack
			if rate := float64(sent) / took.Seconds(); rate > tt.perSecond*1.01 || rate < tt.perSecond*0.97 {
				t.Errorf("%g a second", rate)
			}
			now = now.Add(time.Hour)
			if p.due(now) != 0 {
				t.Error("it is held back after a pause")
			}
		})
	}
}

// New rates hold from when they come; what is owed by the old ones stays.
func TestPaceChanges(t *testing.T) {
	now := time.Now()
	var p *pace
	slow, fast, none := &connLimits{messageRate: 1}, &connLimits{messageRate: 1000}, &connLimits{}
	if p.follow(none, now) != nil {
		t.Error("who has no rate needs no pace")
	}
	p = p.follow(slow, now)
	for range 11 {
		p.count(0)
	}
	if got := p.follow(slow, now).due(now); got != 10*time.Second {
		t.Errorf("%v", got)
	}
	if got := p.follow(fast, now).due(now.Add(time.Second)); got != 9*time.Second {
		t.Errorf("%v", got)
	}
	if got := p.follow(none, now).due(now); got != 0 {
		t.Errorf("%v", got)
	}
}
