//go:build race

package router

// raceEnabled says that sync.Pool forgets things at random, which makes
// allocations that are nobody's fault.
const raceEnabled = true
