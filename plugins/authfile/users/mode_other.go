//go:build !unix

package users

import "io/fs"

// writableByAll is always false: permission bits say nothing here.
func writableByAll(fs.FileMode) bool { return false }
