//go:build race

package conformance_test

// raced says that memory is not what it would be without the race detector.
const raced = true
