// Package collector lets Go's garbage collector rest in programs that keep
// little and allocate much. The runtime collects whenever as much was allocated
// as is kept: a broker that keeps 10 MiB and moves 300 MiB of messages a second
// collects thirty times a second, and pays a sixth of its time for it.
package collector

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// most bounds the percentage, where next to nothing is kept.
const most = 2000

// Spare lets at least so many bytes be allocated between two collections, from
// now on and for as long as the program runs: it may take that much memory more. Where
// more than that is kept, nothing changes. Nor does it for whoever has set GOGC;
// GOMEMLIMIT is held in any case. Called once, by main or on its behalf.
func Spare(bytes uint64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	t := &tuner{spare: bytes, percent: 100}
	t.tune()
}

// tuner looks at what is kept after every collection.
type tuner struct {
	spare   uint64
	percent int
}

// tune sets the percentage, and is called again after the next collection.
func (t *tuner) tune() {
	if p := percentage(t.spare, kept()); p != t.percent {
		debug.SetGCPercent(p)
		t.percent = p
	}
	runtime.AddCleanup(new(mark), (*tuner).tune, t)
}

// mark is what nobody refers to. It has a pointer, for the runtime gathers small
// things without any in one place, which is kept as long as any of them.
type mark struct{ _ *mark }

// percentage is of what is kept, in steps of a tenth, so that it does not change
// with every collection: a change stops the world for a moment.
func percentage(spare, kept uint64) int {
	p := spare * 100 / max(kept, 1)
	return int(min(max(p/10*10, 100), most)) //nolint:gosec // at most most
}

// kept is what the runtime applies the percentage to.
func kept() (bytes uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		bytes += s.Value.Uint64()
	}
	return bytes
}
