package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// adminSocketName is the admin API's socket in the run directory.
const adminSocketName = "admin.sock"

const (
	// runDirVariable is the variable of the environment with the run folder, for
	// who gives none.
	runDirVariable = "GATEHOUSE_RUN_DIR"
	// packagedRunDir is that of the service which packages install.
	packagedRunDir = "/run/gatehouse"
)

// defaultRunDir is what the environment says, $XDG_RUNTIME_DIR/gatehouse, or a
// short private folder for this user, since the paths of Unix sockets must be
// short.
func defaultRunDir() string {
	if dir := os.Getenv(runDirVariable); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "gatehouse")
	}
	return filepath.Join(os.TempDir(), "gatehouse-"+strconv.Itoa(os.Getuid()))
}

// findRunDir is where a command looks for the broker that was told of none: in
// the user's own folder, or in that of the packages' service if that runs and
// nobody answers in the user's own.
func findRunDir(own, packaged string) string {
	if os.Getenv(runDirVariable) != "" || answers(filepath.Join(own, adminSocketName)) {
		return own
	}
	if info, err := os.Stat(packaged); err != nil || !info.IsDir() {
		return own
	}
	return packaged
}

// answers reports whether somebody listens on a Unix socket.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
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
