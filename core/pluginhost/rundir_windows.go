package pluginhost

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// modesAreFiction says that permission bits mean nothing on this system.
const modesAreFiction = true

// tryLock locks f for this handle, until it is closed or the process dies. It
// locks a byte beyond the content, so that others can read who has it.
func tryLock(f *os.File) error {
	at := windows.Overlapped{Offset: 1 << 20}
	return windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
}

// ownedByUs leaves ownership to the access control list.
func ownedByUs(fs.FileInfo) error { return nil }
