// Package seed makes tests that draw lots repeatable.
package seed

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Env holds the seed of a run that is to be repeated.
const Env = "GATEHOUSE_SEED"

// New returns a source that is different in each run. The seed is printed if
// the test fails, and always with -v.
func New(t testing.TB) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv(Env); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", Env, err)
		}
	}
	t.Logf("%s=%d repeats this run", Env, n)
	return rand.New(rand.NewPCG(n, 0))
}
