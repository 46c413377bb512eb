package differential

import (
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Names and filters that have much to do with each other.
var (
	topics = []string{
		"a", "a/b", "a/b/c", "b", "b/c", "/a", "a/", "a//b", "$x/a", "$x/b", "ü/世", "s/x", "s/y", "n/1",
	}
	wideFilters = []string{
		"#", "+", "a/#", "a/+", "+/b", "+/+", "/+", "/#", "a/b/#", "a/b/c", "a/+/c", "b/#", "$x/#", "$x/+", "+/a",
		"a//b", "a//#", "+/+/+", "+//b", "ü/+", "ü/世", "s/#", "a", "b", "a/b", "will/#", "+/1",
	}
	narrowFilters = []string{"a/#", "b/#", "$x/#", "n/+", "s/x"}
	shareFilters  = map[mqtt.Version][]string{
		mqtt.V5:   {"$share/one/s/#", "$share/two/s/+", "$share/one/n/1"},
		mqtt.V311: {"$share/three/s/#", "$share/three/a/b", "$share/four/s/x"},
	}
)

// topic draws a name: one that many subscribe to, or any.
func (g *generator) topic() string {
	name := topics[g.IntN(len(topics))]
	if g.IntN(3) == 0 {
		name = g.levels([]string{"a", "b", "c", "ü", ""})
	}
	if name == "" {
		name = "/"
	}
	g.used[name] = true
	return name
}

// levels draws up to four of them.
func (g *generator) levels(from []string) string {
	out := make([]string, 1+g.IntN(4))
	for i := range out {
		out[i] = from[g.IntN(len(from))]
	}
	return strings.Join(out, "/")
}

// filter draws any filter.
func (g *generator) filter() string {
	f := g.levels([]string{"a", "b", "c", "ü", "+", "+", ""})
	if g.IntN(3) == 0 {
		f += "/#"
	}
	if f == "" {
		f = "/"
	}
	return f
}
