package strictjson

import (
	"fmt"
	"slices"
	"strings"
)

// unknownKey says that a key is not known, which one was probably meant, and
// which there are.
func unknownKey(key string, fields []field) string {
	if len(fields) == 0 {
		return fmt.Sprintf("unknown key %q: there are no keys here", key)
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	slices.Sort(names)
	hint := ""
	if near, ok := nearest(key, names); ok {
		hint = fmt.Sprintf("did you mean %q? ", near)
	}
	return fmt.Sprintf("unknown key %q: %sknown keys: %s", key, hint, strings.Join(names, ", "))
}

// nearest returns the name that is few typing mistakes away from key.
func nearest(key string, names []string) (string, bool) {
	best, at := "", len(key)
	for _, n := range names {
		if d := distance(plain(key), plain(n)); d < at {
			best, at = n, d
		}
	}
	return best, best != "" && at <= 1+len(best)/4
}

// plain takes away what is often got wrong without being a mistake in spelling.
func plain(s string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
}

// distance is the number of characters to insert, delete or replace to make a
// of b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
