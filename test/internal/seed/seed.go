// Package seed makes tests that draw lots repeatable.
package seed

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Env holds the seed of a run, or "random" for one that nobody has seen.
const Env = "GATEHOUSE_SEED"

// usual is the seed of a run that was not given one: a test that fails must
// have failed because of what was changed.
const usual = 1

// New returns a source, and says how to have the same one again.
func New(t testing.TB) *rand.Rand {
	t.Helper()
	n := uint64(usual)
	switch s := os.Getenv(Env); s {
	case "":
	case "random":
		n = uint64(time.Now().UnixNano())
	default:
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", Env, err)
		}
	}
	t.Logf("%s=%d repeats this run", Env, n)
	return rand.New(rand.NewPCG(n, 0)) //nolint:gosec // nothing secret is drawn
}
