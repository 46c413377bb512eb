package seed

import (
	"os"
	"strconv"
	"testing"
)

// Rounds returns how often a test is to draw: usually n times, or as often as
// the variable named env says.
func Rounds(t testing.TB, env string, n int) int {
	t.Helper()
	s := os.Getenv(env)
	if s == "" {
		return n
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}
