package script

import (
	"io/fs"
	"os"
)

// Folder is a folder of scripts on disk as a file system that cannot be left,
// also not by links. It holds nothing open: the folder may be replaced at any
// time.
type Folder string

// Open opens a file.
func (f Folder) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	root, err := os.OpenRoot(string(f))
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.Open(name)
}
