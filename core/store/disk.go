//go:build !faults

package store

import "github.com/cockroachdb/pebble/v2/vfs"

// systemDisk is the file system of the machine.
func systemDisk() vfs.FS { return vfs.Default }
