package topic_test

import (
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// naiveMatch is what section 4.7 says, as plainly as it can be written.
func naiveMatch(filter, name string) bool {
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	if strings.ContainsAny(name, "+#") || strings.HasPrefix(name, "$") && slices.Contains([]string{"+", "#"}, f[0]) {
		return false
	}
	for i, level := range f {
		if level == "#" && i == len(f)-1 {
			return true
		}
		if i >= len(n) || level != "+" && level != n[i] {
			return false
		}
	}
	return len(f) == len(n)
}

// paths draws paths from few levels, so that they have a lot in common.
func paths(maxLevels int, levels ...string) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(levels), 1, maxLevels), func(l []string) string {
		return strings.Join(l, "/")
	})
}

var (
	names = paths(6, "", "a", "b", "ab", "$s", "$")

	// filters are valid: a '#' that is not the last level becomes a '+'.
	filters = rapid.Map(paths(6, "", "a", "b", "ab", "$s", "+", "+", "#"), func(f string) string {
		if i := len(f) - 1; f[max(i, 0):] == "#" {
			return strings.ReplaceAll(f[:i], "#", "+") + "#"
		}
		return strings.ReplaceAll(f, "#", "+")
	})

	// anyFilters may be malformed.
	anyFilters = rapid.OneOf(filters, paths(6, "", "a", "a+", "#", "+", "$s", "##"))
)
