package pluginhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// filesHeader begins what is hashed; another way to do it would have another.
const filesHeader = "gatehouse-files-1\n"

// hash is the SHA-256 of all files of a plugin, but for attach.json, which comes
// and goes with whoever debugs it, in hexadecimal: of the header
// and then one line for each entry below its folder, the folder itself first,
// in the order in which [filepath.WalkDir] finds them (each folder's entries by
// name), or for its program alone:
//
//	D MODE "PATH"                 a folder
//	F MODE SHA-256 "PATH"         a file
//	L SHA-256 "TARGET" "PATH"     a link; the hash is that of the file to which it leads, - for a folder
//	O MODE "PATH"                 anything else
//
// MODE are the permission bits in octal, --- where the system has none; paths
// are relative, with slashes, and quoted as Go does. A link to a folder outside
// is an error, since what is in there could change unseen.
func (p place) hash(ctx context.Context) (string, error) {
	h := sha256.New()
	_, _ = io.WriteString(h, filesHeader)
	if p.folder == "" {
		real, err := filepath.EvalSymlinks(p.file)
		if err != nil {
			return "", err
		}
		info, err := os.Stat(real)
		if err == nil {
			err = addEntry(ctx, h, real, filepath.Base(p.file), info)
		}
		return hex.EncodeToString(h.Sum(nil)), err
	}
	folder, err := filepath.EvalSymlinks(p.folder)
	if err != nil {
		return "", err
	}
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if rel == attachFile {
			return nil
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return addLink(ctx, h, folder, path, rel)
		}
		return addEntry(ctx, h, path, rel, info)
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

func addEntry(ctx context.Context, h hash.Hash, path, rel string, info fs.FileInfo) error {
	mode := "---"
	if !modesAreFiction {
		mode = fmt.Sprintf("%03o", info.Mode().Perm())
	}
	name := strconv.Quote(filepath.ToSlash(rel))
	switch {
	case info.IsDir():
		fmt.Fprintf(h, "D %s %s\n", mode, name)
	case info.Mode().IsRegular():
		sum, err := hashFile(ctx, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "F %s %s %s\n", mode, sum, name)
	default:
		fmt.Fprintf(h, "O %s %s\n", mode, name)
	}
	return nil
}

func addLink(ctx context.Context, h hash.Hash, folder, path, rel string) error {
	target, err := os.Readlink(path)
	if err != nil {
		return err
	}
	sum := "-"
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return err
	case info.Mode().IsRegular():
		if sum, err = hashFile(ctx, real); err != nil {
			return err
		}
	case info.IsDir() && !within(folder, real):
		return fmt.Errorf("%s is a link to the folder %s, whose files would not be covered: copy it instead", path, real)
	}
	fmt.Fprintf(h, "L %s %s %s\n", sum, strconv.Quote(filepath.ToSlash(target)), strconv.Quote(filepath.ToSlash(rel)))
	return nil
}

// hashFile is the SHA-256 of one file, in hexadecimal.
func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, interruptible{ctx, f})
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// interruptible is a reader for the time of one call.
type interruptible struct {
	ctx context.Context
	io.Reader
}

// Read fails once the call is not wanted any more.
func (r interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
