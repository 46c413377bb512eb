package pluginhost

import (
	"testing"

	"pgregory.net/rapid"
)

// TestFrameBits holds the bits against a slice of booleans.
func TestFrameBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b frameBits
		want := make([]bool, maxFrameItems)
		set := 0
		for range rapid.IntRange(1, 40).Draw(t, "marks") {
			from := rapid.IntRange(0, maxFrameItems-1).Draw(t, "from")
			to := rapid.IntRange(from, maxFrameItems).Draw(t, "to")
			free := true
			for i := from; i < to; i++ {
				free = free && !want[i]
			}
			if got := b.mark(from, to); got != free {
				t.Fatalf("mark(%d, %d) = %v, want %v", from, to, got, free)
			}
			for i := from; free && i < to; i++ {
				want[i] = true
				set++
			}
		}
		gap := 0
		for gap < maxFrameItems && want[gap] {
			gap++
		}
		if b.gap() != gap || b.count() != set || b.all(gap) != (set == gap) {
			t.Fatalf("gap %d and %d set, want %d and %d", b.gap(), b.count(), gap, set)
		}
	})
}
