package hooks

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// room is what the process may have above the point from which it collects
// garbage as hard as it can.
const room = 128 << 20

// Confine limits the memory of this process: garbage is collected more often as
// the limit comes near, and beyond it the process ends, and is started again,
// instead of taking the machine's memory. 0 is no limit.
func Confine(bytes int64) error {
	if bytes == 0 {
		return nil
	}
	debug.SetMemoryLimit(bytes)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return err
	}
	limit.Cur = min(uint64(bytes)+room, limit.Max) //nolint:gosec // checked
	return unix.Setrlimit(unix.RLIMIT_DATA, &limit)
}
