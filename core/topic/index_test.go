package topic_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

func sortedBy[T any, C cmp.Ordered](all []T, by func(T) C) []T {
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(by(a), by(b)) })
	return all
}

func TestIndexIsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var index topic.Index[int]
		model := map[string]int{}
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				name := names.Draw(t, "name")
				n++
				was, had := model[name]
				if old, existed := index.Set(name, n); old != was || existed != had {
					t.Fatalf("Set(%q) = %d, %v", name, old, existed)
				}
				model[name] = n
			},
			"delete": func(t *rapid.T) {
				name := names.Draw(t, "name")
				if len(model) > 0 && rapid.Bool().Draw(t, "present") {
					name = rapid.SampledFrom(slices.Sorted(maps.Keys(model))).Draw(t, "of")
				}
				was, had := model[name]
				if old, existed := index.Delete(name); old != was || existed != had {
					t.Fatalf("Delete(%q) = %d, %v", name, old, existed)
				}
				delete(model, name)
			},
			"match": func(t *rapid.T) {
				filter := filters.Draw(t, "filter")
				want := map[string]int{}
				for name, v := range model {
					if naiveMatch(filter, name) {
						want[name] = v
					}
				}
				if d := gocmp.Diff(want, found(t, &index, filter)); d != "" {
					t.Fatalf("Match(%q): %s", filter, d)
				}
			},
			"": func(t *rapid.T) {
				if index.Len() != len(model) {
					t.Fatalf("Len() = %d, want %d", index.Len(), len(model))
				}
				name := names.Draw(t, "any name")
				want, had := model[name]
				if v, ok := index.Get(name); v != want || ok != had {
					t.Fatalf("Get(%q) = %d, %v", name, v, ok)
				}
			},
		})
	})
}

func found(t interface{ Fatalf(string, ...any) }, index *topic.Index[int], filter string) map[string]int {
	got := map[string]int{}
	index.Match(filter, func(name string, v int) bool {
		if _, twice := got[name]; twice {
			t.Fatalf("Match(%q) yields %q twice", filter, name)
		}
		got[name] = v
		return true
	})
	return got
}

func TestIndexOfManyNames(t *testing.T) {
	var index topic.Index[int]
	const n = 30000
	for i := range n {
		index.Set(fmt.Sprintf("ret/%d/%d/s", i/100, i%100), i)
	}
	for filter, want := range map[string]int{"#": n, "ret/#": n, "ret/17/#": 100, "ret/+/17/s": n / 100, "ret/+/+/x": 0, "ret/17/17/s": 1, "+/17/17/+": 1, "x/#": 0} {
		if got := len(found(t, &index, filter)); got != want {
			t.Errorf("%d names match %q, want %d", got, filter, want)
		}
	}
	for i := range n {
		if _, existed := index.Delete(fmt.Sprintf("ret/%d/%d/s", i/100, i%100)); !existed {
			t.Fatalf("name %d was not there", i)
		}
	}
	if got := len(found(t, &index, "#")); got != 0 || index.Len() != 0 {
		t.Errorf("%d names left, Len() = %d", got, index.Len())
	}
}

func TestIndexMatchStopsAndMayChange(t *testing.T) {
	var index topic.Index[int]
	for i := range 1000 {
		index.Set(fmt.Sprintf("a/%d/b", i), i)
	}
	n := 0
	index.Match("a/+/b", func(string, int) bool { n++; return n < 10 })
	if n != 10 {
		t.Errorf("Match went on to %d", n)
	}
	index.Match("#", func(name string, _ int) bool { index.Delete(name); return true })
	if index.Len() != 0 {
		t.Errorf("%d names left", index.Len())
	}
	index.Match("a/#/b", func(name string, _ int) bool { t.Errorf("malformed filter matches %q", name); return true })
}

func TestIndexDeepAndHostile(t *testing.T) {
	start := time.Now()
	var index topic.Index[int]
	slashes := strings.Repeat("/", topic.MaxLength)
	index.Set(slashes, 1)
	for i := range 600 {
		index.Set(strings.Repeat("/", i)+"a", 1)
		index.Set(strings.Repeat("a/", i%300)+"a", 1)
	}
	if got := len(found(t, &index, "#")); got != 899+1 {
		t.Errorf("# finds %d names", got)
	}
	for range 20 {
		if got := len(found(t, &index, strings.Repeat("+/", 299)+"+")); got != 2 {
			t.Errorf("300 levels of + find %d names, want 2", got)
		}
	}
	if got := len(found(t, &index, strings.Repeat("+/", topic.MaxLength/2)+"#")); got != 1 {
		t.Errorf("32767 levels of + find %d names", got)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestIndexConcurrently(t *testing.T) {
	var index topic.Index[int]
	const still = 300
	for i := range still {
		index.Set(fmt.Sprintf("s/%d/x", i), i)
	}
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for _, filter := range []string{"#", "s/+/x", "s/#"} {
		readers.Go(func() {
			for {
				seen := map[string]int{}
				index.Match(filter, func(name string, v int) bool {
					if strings.HasSuffix(name, "/x") {
						seen[name]++
					}
					return true
				})
				for i := range still {
					if n := seen[fmt.Sprintf("s/%d/x", i)]; n != 1 {
						t.Errorf("%q yields name %d %d times", filter, i, n)
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
			for range 4 {
				for i := range 1500 {
					index.Set(fmt.Sprintf("s/%d/%d", i, w), i)
				}
				for i := range 1500 {
					index.Delete(fmt.Sprintf("s/%d/%d", i, w))
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if index.Len() != still {
		t.Errorf("Len() = %d, want %d", index.Len(), still)
	}
}
