package topic

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

type pair struct{ k, v int }

func (p *pair) key() int { return p.k }

// TestTableIsAMap drives a table through sizes at which segments grow, are
// split, merged and dropped.
func TestTableIsAMap(t *testing.T) {
	var tab table[int, pair, *pair]
	model := map[int]int{}
	random := rand.New(rand.NewPCG(1, 2))
	for phase, size := range []int{10, 3000, 60, 20000, 3, 700, 0} {
		for steps := 0; len(model) != size || steps < 2*size; steps++ {
			// Keys from a range about as wide as the aim; grow or shrink towards it.
			k := random.IntN(2*size + 20)
			if len(model) > size || (len(model) == size && random.IntN(2) == 0) {
				for k = range model {
					break
				}
				if old := tab.remove(k); old == nil || old.v != model[k] {
					t.Fatalf("remove(%d) = %v", k, old)
				}
				delete(model, k)
				continue
			}
			was, had := model[k]
			if old := tab.put(&pair{k, steps}); (old != nil) != had || had && old.v != was {
				t.Fatalf("put(%d) = %v", k, old)
			}
			model[k] = steps
		}
		if tab.live != len(model) {
			t.Fatalf("phase %d: live = %d, want %d", phase, tab.live, len(model))
		}
		for k, v := range model {
			if e := tab.get(k); e == nil || e.v != v {
				t.Fatalf("phase %d: get(%d) = %v", phase, k, e)
			}
			if tab.get(-k-1) != nil || tab.remove(-k-1) != nil {
				t.Fatalf("phase %d: found %d", phase, -k-1)
			}
		}
		seen := map[int]bool{}
		tab.each(func(e *pair) bool {
			if seen[e.k] {
				t.Fatalf("phase %d: %d comes up twice", phase, e.k)
			}
			seen[e.k] = true
			return true
		})
		if len(seen) != len(model) {
			t.Fatalf("phase %d: each yields %d of %d", phase, len(seen), len(model))
		}
	}
	if tab.root.Load() != nil || tab.directory.Load() != nil {
		t.Error("an empty table keeps its segments")
	}
}

// TestCursorWhileTheTableChanges takes a few elements, changes the table, and
// goes on: what was there all the time must come up once.
func TestCursorWhileTheTableChanges(t *testing.T) {
	for _, grow := range []bool{true, false} {
		for _, stops := range []int{1, 100, 1500} {
			var tab table[int, pair, *pair]
			const still = 2000
			for i := range still {
				tab.put(&pair{k: i})
			}
			if !grow {
				for i := range 3 * still {
					tab.put(&pair{k: still + i})
				}
			}
			seen := map[int]int{}
			c := tab.cursor()
			for n := 0; ; n++ {
				e := c.next()
				if e == nil {
					break
				}
				seen[e.k]++
				if n%stops == 0 {
					for i := range 10 {
						k := still + n*10 + i
						if grow {
							tab.put(&pair{k: k})
						} else {
							tab.remove(k)
						}
					}
				}
			}
			for i := range still {
				if seen[i] != 1 {
					t.Fatalf("grow %v, stops %d: element %d comes up %d times", grow, stops, i, seen[i])
				}
			}
		}
	}
}

// TestCursorWhileADirectoryIsWritten looks at a table after each single store
// that puts two halves into the places of a segment.
func TestCursorWhileADirectoryIsWritten(t *testing.T) {
	s, low, high := newSegment[pair](600, 0), newSegment[pair](600, 1), newSegment[pair](600, 1)
	for k := range 600 {
		h, e := hashOf(k), &pair{k: k}
		s.insert(h, e)
		if h>>63 == 0 {
			low.insert(h, e)
		} else {
			high.insert(h, e)
		}
	}
	d := widen(s, widen(s, widen(s, nil)))
	var tab table[int, pair, *pair]
	tab.directory.Store(d)
	tab.root.Store(new(segment[pair]))
	look := func() {
		t.Helper()
		seen := map[int]int{}
		tab.each(func(e *pair) bool { seen[e.k]++; return true })
		for k := range 600 {
			if seen[k] != 1 || tab.get(k) == nil {
				t.Fatalf("element %d comes up %d times", k, seen[k])
			}
		}
	}
	d.set(0, s, func(place int) *segment[pair] {
		look()
		if place < len(d.places)/2 {
			return low
		}
		return high
	})
	look()
}

// TestSegmentForgetsOverflow checks that the count of elements that passed a
// full group goes back, or every search would go on to the next one for ever.
func TestSegmentForgetsOverflow(t *testing.T) {
	s := newSegment[pair](600, 0)
	passed := false
	for round := range 10 {
		for k := range s.room() {
			s.insert(hashOf(k+round), &pair{k: k + round})
		}
		for i := range s.groups {
			passed = passed || s.groups[i].tags.Load()>>56 > 0
		}
		for k := range s.room() {
			h := hashOf(k + round)
			_, e := find[int, pair, *pair](s, h, k+round)
			s.remove(h, e)
		}
		for i := range s.groups {
			if tags := s.groups[i].tags.Load(); tags != 0 {
				t.Fatalf("round %d: an empty group has tags %x", round, tags)
			}
		}
	}
	if !passed {
		t.Error("no group was ever full")
	}
}

func TestDeletesLeaveNothingBehind(t *testing.T) {
	var tree Tree[int, int]
	var index Index[int]
	each := func(do func(filter string, key int)) {
		for i := range 3000 {
			do(fmt.Sprintf("a/%d/b", i%700), i)
			do(fmt.Sprintf("a/%d/+", i%700), i)
			do(fmt.Sprintf("a/+/%d/#", i), i)
			do("a/#", i)
			do("x", i)
		}
	}
	each(func(f string, k int) { tree.Set(f, k, k); index.Set(f, k) })
	each(func(f string, k int) { tree.Delete(f, k); index.Delete(f) })
	if tree.exact.root.Load() != nil || tree.wildcard.root.kids.Load() != nil {
		t.Error("an empty tree keeps nodes")
	}
	if index.names.root.kids.Load() != nil {
		t.Error("an empty index keeps nodes")
	}
}

// TestRadixIsCompact checks that nodes are joined again, and that a node does
// not hold on to the text of a long path that is gone.
func TestRadixIsCompact(t *testing.T) {
	var index Index[int]
	index.Set("a/b/c/d", 1)
	for _, name := range []string{"a/b/c", "a/b/x", "a", "a/b/c/d/e", "y"} {
		index.Set(name, 2)
	}
	for _, name := range []string{"a", "y", "a/b/x", "a/b/c/d/e", "a/b/c"} {
		index.Delete(name)
	}
	n, only := index.names.root.kids.Load().count()
	if n != 1 || only.label != "a/b/c/d" || only.kids.Load() != nil {
		t.Errorf("%d nodes, the first %q, want one for the whole path", n, only.label)
	}
}

// TestNodesDoNotHoldLongPaths leaves nodes behind that were made for long
// paths which are gone.
func TestNodesDoNotHoldLongPaths(t *testing.T) {
	var index Index[int]
	const n = 100
	for i := range n {
		long := fmt.Sprintf("a/%d/%s", i, strings.Repeat("x", 60000))
		index.Set(long, 1)
		index.Set(fmt.Sprintf("a/%d/b", i), 2)
		index.Set(fmt.Sprintf("a/%d/c", i), 3)
		index.Delete(long)
	}
	runtime.GC()
	var with, without runtime.MemStats
	runtime.ReadMemStats(&with)
	index.Set("a", 1)
	index = Index[int]{}
	runtime.GC()
	runtime.ReadMemStats(&without)
	if held := int64(with.HeapAlloc) - int64(without.HeapAlloc); held > n*5000 {
		t.Errorf("%d bytes are held for %d short names", held, 2*n)
	}
}
