package load

import "testing"

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name                       string
		saw                        []uint64
		lost, duplicates, disorder uint64
	}{
		{"all in order", []uint64{0, 1, 2, 3}, 0, 0, 0},
		{"one lost", []uint64{0, 2, 3}, 1, 0, 0},
		{"the first lost", []uint64{1, 2, 3}, 1, 0, 0},
		{"the last lost", []uint64{0, 1}, 2, 0, 0},
		{"two changed places", []uint64{0, 2, 1, 3}, 0, 0, 1},
		{"one twice", []uint64{0, 1, 1, 2, 3}, 0, 1, 0},
		{"nothing", nil, 4, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c Check
			for _, n := range tt.saw {
				c.Saw(n)
			}
			if lost := c.Lost(4); lost != tt.lost || c.Duplicates != tt.duplicates || c.Disorder != tt.disorder {
				t.Errorf("lost %d, duplicates %d, disorder %d", lost, c.Duplicates, c.Disorder)
			}
		})
	}
}
