package topic_test

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

type at struct {
	Filter string
	Key    int
}

func TestTreeIsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tree topic.Tree[int, int]
		model := map[at]int{}
		stamps := map[string]topic.Stamp{}
		results := map[string]map[at]int{}
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				a := at{anyFilters.Draw(t, "filter"), rapid.IntRange(0, 12).Draw(t, "key")}
				n++
				was, had := model[a]
				if old, existed := tree.Set(a.Filter, a.Key, n); old != was || existed != had {
					t.Fatalf("Set(%v) = %d, %v", a, old, existed)
				}
				model[a] = n
			},
			"delete": func(t *rapid.T) {
				a := at{anyFilters.Draw(t, "filter"), rapid.IntRange(0, 12).Draw(t, "key")}
				if len(model) > 0 && rapid.Bool().Draw(t, "present") {
					a = rapid.SampledFrom(sorted(model)).Draw(t, "at")
				}
				was, had := model[a]
				if old, existed := tree.Delete(a.Filter, a.Key); old != was || existed != had {
					t.Fatalf("Delete(%v) = %d, %v", a, old, existed)
				}
				delete(model, a)
			},
			"match": func(t *rapid.T) {
				name := names.Draw(t, "name")
				stamp := tree.Stamp(name)
				want := map[at]int{}
				for a, v := range model {
					if naiveMatch(a.Filter, name) {
						want[a] = v
					}
				}
				got := matches(t, &tree, name)
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("Match(%q): %s", name, d)
				}
				if last, ok := stamps[name]; ok && tree.Current(last) && !maps.Equal(results[name], want) {
					t.Fatalf("%q: an old stamp is current after a change", name)
				}
				if !tree.Current(stamp) {
					t.Fatalf("%q: a new stamp is not current", name)
				}
				stamps[name], results[name] = stamp, want
			},
			"": func(t *rapid.T) {
				if tree.Len() != len(model) {
					t.Fatalf("Len() = %d, want %d", tree.Len(), len(model))
				}
				for a, v := range model {
					if got, ok := tree.Get(a.Filter, a.Key); got != v || !ok {
						t.Fatalf("Get(%v) = %d, %v", a, got, ok)
					}
				}
			},
		})
	})
}

func sorted(model map[at]int) []at {
	var all []at
	for a := range model {
		all = append(all, a)
	}
	// A repeatable order is all that rapid needs.
	return sortedBy(all, func(a at) string { return fmt.Sprint(a.Filter, " ", a.Key) })
}

func matches(t interface{ Fatalf(string, ...any) }, tree *topic.Tree[int, int], name string) map[at]int {
	got := map[at]int{}
	tree.Match(name, func(filter string, key, v int) bool {
		if _, twice := got[at{filter, key}]; twice {
			t.Fatalf("Match(%q) yields %q %d twice", name, filter, key)
		}
		got[at{filter, key}] = v
		return true
	})
	return got
}

func TestTreeMatchStops(t *testing.T) {
	var tree topic.Tree[int, int]
	for i, filter := range []string{"a/b", "a/b", "a/+", "a/+", "a/#", "#", "+/b", "+/+/#"} {
		tree.Set(filter, i, i)
	}
	for limit := 1; limit <= 8; limit++ {
		n := 0
		tree.Match("a/b", func(string, int, int) bool { n++; return n < limit })
		if n != limit {
			t.Errorf("Match went on to %d values after %d", n, limit)
		}
	}
}

func TestTreeMatchMayChangeTheTree(t *testing.T) {
	var tree topic.Tree[int, int]
	for i := range 100 {
		tree.Set("a/+", i, i)
		tree.Set("a/b", i, i)
	}
	tree.Match("a/b", func(filter string, k, _ int) bool { tree.Delete(filter, k); return true })
	if tree.Len() != 0 {
		t.Errorf("%d values left", tree.Len())
	}
}

func TestTreeOfManyFilters(t *testing.T) {
	var tree topic.Tree[int, int]
	const n = 20000
	for i := range n {
		tree.Set(fmt.Sprintf("fleet/%d/speed", i), i, i)
		tree.Set(fmt.Sprintf("fleet/%d/#", i), i, i)
		tree.Set("fleet/+/speed", i, i)
	}
	for i := 0; i < n; i += 999 {
		if got := len(matches(t, &tree, fmt.Sprintf("fleet/%d/speed", i))); got != n+2 {
			t.Fatalf("%d matches for %d, want %d", got, i, n+2)
		}
	}
	for i := range n {
		tree.Delete(fmt.Sprintf("fleet/%d/speed", i), i)
		tree.Delete(fmt.Sprintf("fleet/%d/#", i), i)
		tree.Delete("fleet/+/speed", i)
		if i%999 == 0 && len(matches(t, &tree, "fleet/19999/speed")) != n-i+1 && i < n-1 {
			t.Fatalf("after %d deletions: %d matches", i+1, len(matches(t, &tree, "fleet/19999/speed")))
		}
	}
	if tree.Len() != 0 {
		t.Errorf("%d values left", tree.Len())
	}
}

func TestTreeDeepAndHostile(t *testing.T) {
	start := time.Now()
	var tree topic.Tree[int, int]
	slashes := strings.Repeat("/", topic.MaxLength)
	pluses := strings.Repeat("+/", topic.MaxLength/2) + "+"
	tree.Set(slashes, 1, 1)
	tree.Set(pluses, 1, 1)
	tree.Set(strings.Repeat("/", 30000)+"+", 1, 1)
	tree.Set(strings.Repeat("/", 30000)+"#", 1, 1)
	if got := len(matches(t, &tree, slashes)); got != 2 {
		t.Errorf("%d matches of 65536 empty levels, want 2", got)
	}
	if got := len(matches(t, &tree, strings.Repeat("/", topic.MaxLength/2))); got != 2 {
		t.Errorf("%d matches of 32768 empty levels, want 2", got)
	}
	// 300 levels, each with a "+" beside a literal level at every depth.
	for i := range 300 {
		tree.Set(strings.Repeat("+/", i)+"a", 1, 1)
		tree.Set(strings.Repeat("a/", i)+"+", 1, 1)
		tree.Set(strings.Repeat("a/+/", i/2)+"x", 1, 1)
		tree.Set(strings.Repeat("+/a/", i/2)+"#", 1, 1)
	}
	for range 100 {
		matches(t, &tree, strings.Repeat("a/", 299)+"a")
	}
	// 60 filters that overlap in one topic of twelve levels.
	name := strings.Repeat("l/", 11) + "l"
	for i := range 60 {
		levels := strings.Split(name, "/")
		for b := range 6 {
			if i>>b&1 == 1 {
				levels[2*b] = "+"
			}
		}
		tree.Set(strings.Join(levels, "/"), 2, 1)
	}
	n := 0
	tree.Match(name, func(_ string, key, _ int) bool {
		if key == 2 {
			n++
		}
		return true
	})
	if n != 60 {
		t.Errorf("%d of 60 overlapping filters match", n)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestTreeConcurrently changes a tree while it is matched. What nobody
// touches must come up exactly once in every match.
func TestTreeConcurrently(t *testing.T) {
	var tree topic.Tree[int, int]
	still := map[at]int{}
	for i := range 40 {
		for _, f := range []string{"a/b/c", "a/+/c", "a/#", "+/b/+/#"} {
			tree.Set(f, i, i)
			still[at{f, i}] = i
		}
	}
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				got := map[at]int{}
				tree.Match("a/b/c", func(filter string, key, v int) bool {
					a := at{filter, key}
					if _, twice := got[a]; twice && key < 40 {
						t.Errorf("%v comes up twice", a)
					}
					got[a] = v
					return true
				})
				for a := range still {
					if _, ok := got[a]; !ok {
						t.Errorf("%v is missing", a)
						return
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for round := range 3 {
				for i := range 600 {
					key := 1000*(w+1) + i
					for _, f := range []string{"a/b/c", "a/+/c", "a/#", "+/b/+/#", fmt.Sprintf("a/b/%d", key), fmt.Sprintf("a/+/%d/#", key), fmt.Sprintf("a/b%d/+", i%7)} {
						tree.Set(f, key, round)
					}
				}
				for i := range 600 {
					key := 1000*(w+1) + i
					for _, f := range []string{"a/b/c", "a/+/c", "a/#", "+/b/+/#", fmt.Sprintf("a/b/%d", key), fmt.Sprintf("a/+/%d/#", key), fmt.Sprintf("a/b%d/+", i%7)} {
						tree.Delete(f, key)
					}
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if tree.Len() != len(still) {
		t.Errorf("Len() = %d, want %d", tree.Len(), len(still))
	}
}

func TestTreeMatchAllocatesNothing(t *testing.T) {
	var tree topic.Tree[*int, int]
	for i := range 100 {
		tree.Set("a/b/c", new(int), i)
		tree.Set(fmt.Sprintf("a/+/%d", i), new(int), i)
	}
	tree.Set("a/+/c", new(int), 1)
	tree.Set("+/#", new(int), 1)
	n := 0
	if allocs := testing.AllocsPerRun(100, func() {
		tree.Match("a/b/c", func(string, *int, int) bool { n++; return true })
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestTreeGeneration(t *testing.T) {
	var tree topic.Tree[int, int]
	last := tree.Generation()
	step := func(what string, change bool) {
		t.Helper()
		if g := tree.Generation(); (g != last) != change {
			t.Errorf("%s: generation %d after %d", what, g, last)
		}
		last = tree.Generation()
	}
	tree.Set("a", 1, 1)
	step("set", true)
	tree.Set("a", 1, 2)
	step("replace", true)
	tree.Delete("a", 2)
	step("delete nothing", false)
	tree.Delete("a", 1)
	step("delete", true)
}

func TestStampsOfUnrelatedTopicsStayCurrent(t *testing.T) {
	var tree topic.Tree[int, int]
	stale := 0
	const topics, changes = 200, 20
	for i := range topics {
		stamp := tree.Stamp(fmt.Sprintf("devices/%d/status", i))
		for j := range changes {
			tree.Set(fmt.Sprintf("devices/x%d-%d/#", i, j), 1, 1)
		}
		if !tree.Current(stamp) {
			stale++
		}
	}
	if stale > topics/4 {
		t.Errorf("%d of %d stamps were out of date after %d unrelated changes each", stale, topics, changes)
	}
}
