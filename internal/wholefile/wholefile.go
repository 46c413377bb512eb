// Package wholefile writes small files that are either old or new, whatever
// happens: to the process, the system or the power.
package wholefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// ErrUnsettled says that the new content is in place, and that a power cut may
// bring the old one back.
var ErrUnsettled = errors.New("the folder could not be synced")

// Replace puts content into the file at path, which then has the permissions
// perm, less the process's mask. A draft in the same folder, ".NAME.new", takes
// its place when the disk has it. One goroutine at a time may replace a file.
//
// After an error the file is as it was, but for one that wraps [ErrUnsettled];
// all others are of package os.
func Replace(path string, content []byte, perm fs.FileMode) error {
	folder, name := filepath.Split(path)
	draft := filepath.Join(folder, "."+name+".new")
	err := write(draft, content, perm)
	if err == nil {
		err = os.Rename(draft, path)
	}
	if err != nil {
		if rerr := os.Remove(draft); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsettled, err)
	}
	return nil
}

// write writes a file anew and waits until the disk has its content.
func write(path string, content []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder waits until the disk has the names of a folder, where the system can
// be asked for that.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
