package main

import (
	"fmt"
	"strings"
)

// manual is a manual page in the making, in the macros of man(7).
type manual struct{ b strings.Builder }

func newManual(name string, section int, summary string) *manual {
	m := new(manual)
	fmt.Fprintf(&m.b, ".TH %s %d \"\" %s \"Gatehouse\"\n", roffArg(strings.ToUpper(name)), section, roffArg("gatehouse "+brokerVersion()))
	m.section("NAME")
	m.b.WriteString(roffText(name) + ` \- ` + roffText(summary) + "\n")
	return m
}

func (m *manual) String() string { return m.b.String() }

func (m *manual) section(name string)    { m.b.WriteString(".SH " + roffArg(name) + "\n") }
func (m *manual) subsection(name string) { m.b.WriteString(".SS " + roffArg(name) + "\n") }

// text is a paragraph.
func (m *manual) text(s string) { m.b.WriteString(".PP\n" + roffText(s) + "\n") }

// term is something and what it means.
func (m *manual) term(what, meaning string) {
	m.b.WriteString(".TP\n\\fB" + roffText(what) + "\\fR\n" + roffText(meaning) + "\n")
}

// command is the first line of a command's description.
func (m *manual) command(words, args string) {
	m.b.WriteString(".PP\n\\fB" + roffText(words) + "\\fR " + roffText(args) + "\n")
}

// references are other pages, such as "broker(1)".
func (m *manual) references(pages ...string) {
	for i, p := range pages {
		name, section, _ := strings.Cut(p, "(")
		end := ",\n"
		if i == len(pages)-1 {
			end = "\n"
		}
		m.b.WriteString("\\fB" + roffText(name) + "\\fR(" + section + end)
	}
}

var roffEscape = strings.NewReplacer(`\`, `\e`, `-`, `\-`, "`", `\(ga`, `'`, `\(aq`, `"`, `\(dq`, `^`, `\(ha`, `~`, `\(ti`,
	"µ", `\(mc`, "\n", " ")

// roffText is text as a line of its own: no character has a meaning of roff's.
func roffText(s string) string {
	s = roffEscape.Replace(strings.TrimSpace(s))
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// roffArg is text as one argument of a macro.
func roffArg(s string) string { return `"` + roffText(s) + `"` }
