package admission

import (
	"testing"
	"time"
)

// A flood is logged twenty times, then once a second with what was left out.
func TestLines(t *testing.T) {
	var l Lines
	now := time.Now()
	for i := range 100 {
		if skipped, ok := l.Turn(now); ok != (i < 20) || skipped != 0 {
			t.Fatalf("line %d: %v, %d", i, ok, skipped)
		}
	}
	now = now.Add(1500 * time.Millisecond)
	if skipped, ok := l.Turn(now); !ok || skipped != 80 {
		t.Errorf("a second later: %v, %d", ok, skipped)
	}
	if _, ok := l.Turn(now); ok {
		t.Error("two lines in a second")
	}
	now = now.Add(time.Hour)
	for i := range 21 {
		if _, ok := l.Turn(now); ok != (i < 20) {
			t.Errorf("line %d after a pause: %v", i, ok)
		}
	}
}
