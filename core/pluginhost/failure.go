package pluginhost

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FailureKind sorts failures of plugins.
type FailureKind uint8

// The kinds. After the first four a plugin is not started again before its
// files or its configuration change; after the others it is, with growing
// pauses.
const (
	KindRefused       FailureKind = iota + 1 // its files or its manifest are not acceptable
	KindUnrunnable                           // the system can't run its program
	KindIncompatible                         // it speaks another version of the protocol
	KindIncomplete                           // it does not serve what its manifest declares
	KindGarbled                              // it printed something else than a handshake
	KindHung                                 // it did not do something in time
	KindExited                               // its process ended
	KindMisconfigured                        // it refused its configuration
	KindUnhealthy                            // it missed its health checks
	KindLost                                 // the connection to it broke
	KindUntrusted                            // its answers made no sense
	KindUnfinished                           // its files are still being written
)

// String names the kind in lower case.
func (k FailureKind) String() string {
	names := [...]string{
		"none", "refused", "unrunnable", "incompatible", "incomplete", "garbled", "hung",
		"exited", "misconfigured", "unhealthy", "lost", "untrusted", "unfinished",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// lasting reports whether only a change of files or configuration can help.
func (k FailureKind) lasting() bool {
	return k == KindRefused || k == KindUnrunnable || k == KindIncompatible || k == KindIncomplete
}

// Failure is why a plugin does not run, in words for a person. It is an error
// of one line. It is immutable.
type Failure struct {
	Plugin string
	Kind   FailureKind
	What   string // went wrong: a clause whose subject is the plugin
	Do     string // what to do about it; may be empty
	Time   time.Time
	Output []string // the last lines that the process wrote, oldest first
	Panic  string   // the whole text of its panic, "" if there was none
}

// errorLines is how many lines of output an error quotes.
const errorLines = 3

// Error is the whole story in one line: name, cause, last output, advice.
func (f *Failure) Error() string { return fmt.Sprintf("plugin %s: %s", f.Plugin, f.Story()) }

// Story is the error without the plugin's name.
func (f *Failure) Story() string {
	var b strings.Builder
	b.WriteString(f.What)
	if quoted := f.quotes(); len(quoted) > 0 {
		b.WriteString("; its last output was ")
		b.WriteString(strings.Join(quoted, ", "))
	}
	if f.Do != "" {
		b.WriteString("; ")
		b.WriteString(f.Do)
	}
	return b.String()
}

// remedy is the advice as an attribute of a log line, none if there is none.
func (f *Failure) remedy() slog.Attr {
	if f.Do == "" {
		return slog.Attr{}
	}
	return slog.String("do", f.Do)
}

// quotes are the last lines of output, as far as What does not tell already.
func (f *Failure) quotes() []string {
	if f.Panic != "" {
		return nil
	}
	var quoted []string
	for _, line := range f.Output[max(0, len(f.Output)-errorLines):] {
		q := strconv.Quote(line[:min(len(line), 300)])
		if !strings.Contains(f.What, q) {
			quoted = append(quoted, q)
		}
	}
	return quoted
}

// quoting returns f with what the process wrote, and the headline of its panic
// in the cause.
func (f *Failure) quoting(out *output) *Failure {
	g := *f
	g.Output = out.last(tailLines)
	headline, text := out.panicText()
	if g.Panic = text; text != "" && !strings.HasPrefix(headline, "SIGQUIT") {
		g.What += " (" + headline[:min(len(headline), 300)] + ")"
	}
	return &g
}

// describeExit says how a process ended.
func describeExit(s *os.ProcessState) string {
	switch {
	case s == nil:
		return "it ended"
	case exitSignal(s) != 0:
		sig := exitSignal(s)
		return fmt.Sprintf("it was ended by signal %d (%s)", int(sig), sig)
	default:
		return fmt.Sprintf("it exited with status %d", s.ExitCode())
	}
}

// history is what went wrong with one plugin, latest last and bounded.
type history []*Failure

const maxHistory = 10

func (h history) with(f *Failure) history {
	return append(slices.Clone(h[max(0, len(h)-maxHistory+1):]), f)
}
