package validator

import (
	"bytes"
	"fmt"
	"sync/atomic"
)

// outcome is what a decision was, for counting.
type outcome int

const (
	allowed outcome = iota
	abstained
	badPassword
	unknownUser
	disabledUser
	badClientID
	anonymousRefused
	badMethod
	badCertificate
	undecided // nobody waited for the decision
	outcomes  // their number
)

// outcomeNames are label values; the order is that of the constants.
var outcomeNames = [outcomes]string{
	"allowed", "abstained", "bad_password", "unknown_user", "disabled_user",
	"bad_client_id", "anonymous", "bad_method", "bad_certificate", "undecided",
}

// counters count decisions and loads of the users file.
type counters struct {
	decisions [outcomes]atomic.Uint64
	loaded    atomic.Uint64
	broken    atomic.Uint64
}

// write appends the counters in the Prometheus text format.
func (c *counters) write(b *bytes.Buffer, users int, degraded bool) {
	b.WriteString("# HELP authfile_decisions_total Connections that were decided, by outcome.\n" +
		"# TYPE authfile_decisions_total counter\n")
	for o, name := range outcomeNames {
		fmt.Fprintf(b, "authfile_decisions_total{outcome=%q} %d\n", name, c.decisions[o].Load())
	}
	fmt.Fprintf(b, "# HELP authfile_loads_total Times that the users file was read after a change, by result.\n"+
		"# TYPE authfile_loads_total counter\n"+
		"authfile_loads_total{result=\"good\"} %d\nauthfile_loads_total{result=\"broken\"} %d\n", c.loaded.Load(), c.broken.Load())
	fmt.Fprintf(b, "# HELP authfile_users Users in the rules that are in use.\n"+
		"# TYPE authfile_users gauge\nauthfile_users %d\n", users)
	up := 1
	if degraded {
		up = 0
	}
	fmt.Fprintf(b, "# HELP authfile_file_current Whether the rules in use are those of the file.\n"+
		"# TYPE authfile_file_current gauge\nauthfile_file_current %d\n", up)
}
