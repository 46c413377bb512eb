package admin

import "unicode/utf8"

// pattern is a text in which "*" stands for any text and "?" for one character.
// The empty pattern matches everything.
type pattern string

// matches reports whether the pattern matches all of s. It takes time of at most
// the product of the two lengths.
func (p pattern) matches(s string) bool {
	if p == "" {
		return true
	}
	i, j := 0, 0         // where we are in p and s
	star, after := -1, 0 // the last "*", and the text that it does not stand for
	for j < len(s) {
		_, size := utf8.DecodeRuneInString(s[j:])
		switch {
		case i < len(p) && p[i] == '*':
			star, after = i, j
			i++
		case i < len(p) && p[i] == '?':
			i, j = i+1, j+size
		case i < len(p) && p[i] == s[j]:
			i, j = i+1, j+1
		case star >= 0:
			_, size = utf8.DecodeRuneInString(s[after:])
			after += size
			i, j = star+1, after
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
