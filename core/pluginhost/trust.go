package pluginhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// trusted returns the real path of a file or folder that the broker may use:
// one that lies below root, which is a real path, by whatever links, and into
// which not everybody can write. It is checked at every start.
func trusted(root, path string) (string, fs.FileInfo, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", nil, err
	}
	if !within(root, target) {
		return "", nil, fmt.Errorf("%s is a link to %s, outside of %s: copy the file instead", path, target, root)
	}
	info, err := os.Stat(target)
	if err != nil {
		return "", nil, err
	}
	if err := unwritable(target, info); err != nil {
		return "", nil, err
	}
	// Who can write into the folder can put another file in its place.
	for dir := filepath.Dir(target); within(root, dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return "", nil, err
		}
		if err := unwritable(dir, info); err != nil {
			return "", nil, err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return target, info, nil
}

// within reports whether path is root or lies below it. Both are clean.
func within(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func unwritable(path string, info fs.FileInfo) error {
	if modesAreFiction || info.Mode().Perm()&0o002 == 0 {
		return nil
	}
	return fmt.Errorf("everybody can write to %s (mode %s): chmod o-w it", path, info.Mode().Perm())
}

var errNotExecutable = errors.New("it is not executable: chmod +x it")

// executable checks that info is a file that may be run.
func executable(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	if !modesAreFiction && info.Mode().Perm()&0o111 == 0 {
		return errNotExecutable
	}
	return nil
}
