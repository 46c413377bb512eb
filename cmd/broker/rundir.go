package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// adminSocketName is the admin API's socket in the run directory.
const adminSocketName = "admin.sock"

// defaultRunDir is $XDG_RUNTIME_DIR/gatehouse, or a short private folder for
// this user, since the paths of Unix sockets must be short.
func defaultRunDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "gatehouse")
	}
	return filepath.Join(os.TempDir(), "gatehouse-"+strconv.Itoa(os.Getuid()))
}

// makePrivate makes a folder that only this user can enter. One that exists is
// checked, for somebody else may have made it first.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	if !ownedByUs(info) {
		return fmt.Errorf("%s belongs to another user; choose another with --run-dir", dir)
	}
	return os.Chmod(dir, 0o700) //nolint:gosec // a folder needs its x bit
}
