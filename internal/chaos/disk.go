//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// disk is a small file system with the broker's data, which is filled up now and
// then by a file beside. The zero value is none.
type disk struct {
	dir    string
	filler string
	full   bool
	times  int
}

// diskBytes is how large it is: the store needs some of it for itself.
const diskBytes = 192 << 20

// mountDisk makes one for a folder, which takes root.
func mountDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskBytes)); err != nil {
		return nil, fmt.Errorf("mounting a small file system: %w", err)
	}
	return &disk{dir: dir, filler: filepath.Join(dir, "filler")}, nil
}

// fill leaves no room.
func (d *disk) fill() error {
	d.full = true
	d.times++
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var at int64
	for size := int64(16 << 20); size >= 4096; {
		switch err := syscall.Fallocate(int(f.Fd()), 0, at, size); {
		case err == nil:
			at += size
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case !errors.Is(err, syscall.EINTR):
			return err
		}
	}
	return nil
}

// free makes room again, if there is none.
func (d *disk) free() error {
	if d == nil || !d.full {
		return nil
	}
	d.full = false
	return os.Remove(d.filler)
}

// unmount ends it. After a run that failed it stays, to be looked at.
func (d *disk) unmount() {
	if d != nil {
		_ = syscall.Unmount(d.dir, syscall.MNT_DETACH)
	}
}

// fillings is how often the disk was full.
func (d *disk) fillings() int {
	if d == nil {
		return 0
	}
	return d.times
}
