package admission

import "time"

// Rate is how often something may happen. The zero value sets no bound.
type Rate struct {
	PerSecond float64
	// Burst is how often it may happen at once after a pause. Zero means as
	// often as in a second, and at least 10 times.
	Burst int
}

const leastBurst = 10

// step is how long one event uses up the rate.
func (r Rate) step() time.Duration { return time.Duration(float64(time.Second) / r.PerSecond) }

// slack is how far events may be ahead of the rate.
func (r Rate) slack() time.Duration {
	burst := r.Burst
	if burst == 0 {
		burst = max(leastBurst, int(r.PerSecond))
	}
	return time.Duration(burst) * r.step()
}

// bucket holds to a rate. It is the moment until which the rate is used up, so
// that one that has passed is worth as much as none. The zero value is full.
type bucket time.Time

// take reports whether one more may happen, and counts it if so.
func (b *bucket) take(r Rate, now time.Time) bool {
	if r.PerSecond <= 0 {
		return true
	}
	until := time.Time(*b)
	if until.Before(now) {
		until = now
	}
	until = until.Add(r.step())
	if until.Sub(now) > r.slack() {
		return false
	}
	*b = bucket(until)
	return true
}

// idle reports whether the bucket is full again.
func (b bucket) idle(now time.Time) bool { return !now.Before(time.Time(b)) }
