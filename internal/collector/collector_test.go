package collector

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentage(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		spare, kept uint64
		want        int
	}{
		{64 * mib, 0, most},
		{64 * mib, 1 * mib, most},
		{64 * mib, 16 * mib, 400},
		{64 * mib, 16*mib + 1, 390},
		{64 * mib, 60 * mib, 100},
		{64 * mib, 1 << 40, 100},
		{0, 1 * mib, 100},
	} {
		if got := percentage(tt.spare, tt.kept); got != tt.want {
			t.Errorf("percentage(%d, %d) = %d, want %d", tt.spare, tt.kept, got, tt.want)
		}
	}
}

// goal is the size of the heap at which the next collection begins, and what
// the runtime made of the percentage.
func goal() (bytes, percent uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}

func TestSpare(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	const spare = 64 << 20
	Spare(spare)
	runtime.GC()
	if got, _ := goal(); got < spare*9/10 {
		t.Errorf("the next collection begins at %d bytes, want %d or more", got, spare)
	}

	keep := make([]byte, 2*spare)
	await(t, "100 percent, when much is kept", func(percent uint64) bool { return percent == 100 })
	runtime.KeepAlive(keep) // until here
	await(t, "more, when little is kept again", func(percent uint64) bool { return percent > 100 })
}

// await collects until the percentage is right: cleanups run some time after
// a collection.
func await(t *testing.T, what string, right func(percent uint64) bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		runtime.GC()
		_, percent := goal()
		if right(percent) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it is %d percent, want %s", percent, what)
		}
	}
}

func TestSpareLeavesGOGC(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	t.Setenv("GOGC", "50")
	Spare(64 << 20)
	if _, percent := goal(); percent != 50 {
		t.Errorf("it is %d percent, want what GOGC says", percent)
	}
}
