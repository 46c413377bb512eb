//go:build !linux

package hooks

import "runtime/debug"

// Confine has garbage collected more often as the limit comes near. Only on
// Linux it is a limit that holds.
func Confine(bytes int64) error {
	if bytes > 0 {
		debug.SetMemoryLimit(bytes)
	}
	return nil
}
