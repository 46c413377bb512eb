package pluginhost

import "time"

// Output beyond these rates is thrown away and counted. Warnings and errors
// have an allowance of their own, so that chatter does not hide them.
const (
	parsePerSecond   = 5000 // lines that are looked at, whatever comes of them
	parseBurst       = 5000
	chatterPerSecond = 200
	chatterBurst     = 1000
	alarmPerSecond   = 50
	alarmBurst       = 200
)

// allowance is a token bucket. It is not for concurrent use; the zero value is
// full.
type allowance struct {
	perSecond, burst float64
	used             float64
	last             time.Time
}

// refill brings the bucket up to now.
func (a *allowance) refill(now time.Time) {
	a.used = max(0, a.used-now.Sub(a.last).Seconds()*a.perSecond)
	a.last = now
}

// left reports whether there is a token.
func (a *allowance) left() bool { return a.used+1 <= a.burst }

// take uses a token up, if there is one.
func (a *allowance) take() bool {
	if !a.left() {
		return false
	}
	a.used++
	return true
}
