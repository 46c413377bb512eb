package users

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong with a users file, or that should be
// looked at.
type Problem struct {
	File    string // as it was given to Parse
	Line    int    // from 1; 0 if the problem has no place
	Column  int    // from 1, in characters
	Message string // one line, lower case
	// Excerpt is the line with a second one below that marks the column with a
	// caret. Password hashes, and whatever stands in their place, are left
	// out. Empty if the problem has no place.
	Excerpt string
}

// Place returns "file:line:column", or the file alone if the problem has no
// place in it.
func (p Problem) Place() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// String returns place and message in one line.
func (p Problem) String() string { return p.Place() + ": " + p.Message }

// maxProblems is how many problems an error tells of; one missing quote can
// cause thousands.
const maxProblems = 10

// Error says why a users file was refused.
type Error struct {
	// Problems are in the order of the file; there is at least one, and at
	// most ten.
	Problems []Problem
	// More is the number of further problems.
	More int
}

// Error returns each problem with its place, its message and its excerpt: text
// of several lines, for a person.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
		if p.Excerpt != "" {
			b.WriteByte('\n')
			b.WriteString(p.Excerpt)
		}
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", e.More)
	}
	return b.String()
}

// newError sorts problems by place and keeps the first of them.
func newError(problems []Problem) *Error {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	e := &Error{Problems: problems}
	if len(problems) > maxProblems {
		e.Problems, e.More = problems[:maxProblems], len(problems)-maxProblems
	}
	return e
}

// secret matches what must not get into a log: the value of a password key,
// and anything that looks like a hash wherever it stands.
var secret = regexp.MustCompile(`(?i)(\bpassword["']?\s*:\s*)\S.*|\$(?:argon2[a-z]*|2[a-z]?|[15-7])\$.*`)

// maxExcerpt is the number of characters of a line that are shown.
const maxExcerpt = 100

// excerpt shows a line and marks a column of it, counted from 1. If hide is not
// 0, what begins at that column is left out: it may be a secret.
func excerpt(text string, line, column, hide int) string {
	runes := []rune(strings.TrimRight(text, "\r\n"))
	if hide > 0 && hide <= len(runes) {
		runes = append(slices.Clone(runes[:hide-1]), []rune("***")...)
	}
	runes = []rune(secret.ReplaceAllString(string(runes), "${1}***"))
	column = min(max(column, 1), len(runes)+1) // the caret may have been in what was left out
	from := 0
	if column > maxExcerpt*3/4 {
		from = column - maxExcerpt/2
	}
	to := min(len(runes), from+maxExcerpt)
	return fmt.Sprintf("%5d | %s\n      | %s^", line, printable(string(runes[from:to])), strings.Repeat(" ", column-1-from))
}

// printable replaces what would disturb a terminal or a log. A tab becomes one
// blank, since that is how columns are counted.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// maxQuoted is how many characters of a value a message repeats.
const maxQuoted = 60

// quote shows a value from the file in a message.
func quote(s string) string {
	if runes := []rune(s); len(runes) > maxQuoted {
		s = string(runes[:maxQuoted]) + "..."
	}
	return strconv.Quote(s)
}
