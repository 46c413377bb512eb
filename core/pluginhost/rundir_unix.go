//go:build unix

package pluginhost

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// modesAreFiction says that permission bits mean nothing on this system.
const modesAreFiction = false

// tryLock locks f for this open file, until it is closed or the process dies.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// ownedByUs refuses what belongs to another user.
func ownedByUs(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(st.Uid) != os.Geteuid() {
		return errors.New("it belongs to another user")
	}
	return nil
}
