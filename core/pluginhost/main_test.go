//go:build unix

package pluginhost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary act as the programs that the tests need: under
// a name that begins with "chaos", or "selective", it is a plugin, and under "host" a broker
// that can be killed.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case strings.HasPrefix(name, "chaos"):
		chaosMain(os.Args[1:])
	case name == "selective":
		selectiveMain(os.Args[1:])
	case name == "host":
		hostMain(os.Args[1:])
	default:
		// A plugin under the race detector would take a second to exit.
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
		goleak.VerifyTestMain(m)
	}
}
