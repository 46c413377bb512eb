//go:build unix

package logfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func openShared(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag, 0o600)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil // a file system whose folders cannot be synced does it by itself
	}
	return errors.Join(err, d.Close())
}

// lockFile makes this process the only one that holds path until the result is
// closed or the process ends. It does not wait.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = errLocked
	case err == nil:
		return f, nil
	}
	return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
}
