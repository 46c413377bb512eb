//go:build unix

package lifeline

import (
	"os"
	"syscall"
)

// file makes an os.File of an open file that was inherited. The plugin's own
// children do not get it, and reading it holds no thread.
func file(fd uintptr) (*os.File, error) {
	syscall.CloseOnExec(int(fd))
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		return nil, err
	}
	return os.NewFile(fd, "lifeline"), nil
}
