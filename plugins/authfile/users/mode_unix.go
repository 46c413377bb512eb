//go:build unix

package users

import "io/fs"

// writableByAll reports whether every user of the machine may change the file.
func writableByAll(mode fs.FileMode) bool { return mode.Perm()&0o002 != 0 }
