package pluginhost

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	lockName    = "host.lock"  // held by the broker that uses the directory
	socketsName = "p"          // holds one directory per plugin process
	sparePrefix = "gatehouse-" // of a short directory elsewhere

	// maxSocketDir is the longest path of a directory for sockets. A socket's
	// path has at most 103 bytes on macOS and 107 on Linux, and plugins choose
	// the file name.
	maxSocketDir = 80
)

// runDir holds the sockets of running plugins:
//
//	host.lock         locked by the broker whose directory it is
//	p/3/...           private to the third plugin process
//	authfile.sock     -> p/3/plugin123, for people and grpcurl
//
// Where its own path is too long for sockets, p is a link to a short private
// directory elsewhere. Its methods may be called from many goroutines.
type runDir struct {
	path    string
	sockets string // the real path of p
	lock    *os.File

	next atomic.Uint64
}

// openRunDir takes a run directory over, making it if need be, and removes what
// a killed broker left in it. It fails if another broker uses it.
func openRunDir(path string, log *slog.Logger) (*runDir, error) {
	if path == "" {
		return nil, errors.New("no run directory is given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	if err := checkPrivate(path); err != nil {
		return nil, fmt.Errorf("run directory %s: %w", path, err)
	}
	d := &runDir{path: path}
	if d.lock, err = lockFile(filepath.Join(path, lockName)); err != nil {
		return nil, fmt.Errorf("run directory %s: %w", path, err)
	}
	d.sweep(log)
	if err := d.makeSockets(); err != nil {
		d.close()
		return nil, fmt.Errorf("run directory %s: %w", path, err)
	}
	return d, nil
}

// lockFile locks path for this process and writes its identifier into it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		buf := make([]byte, 20)
		n, _ := f.Read(buf)
		_ = f.Close()
		return nil, fmt.Errorf("another broker uses it (process %s): stop that one, or give this one another run directory",
			strings.TrimSpace(string(buf[:n])))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes what an earlier broker left. The lock says that none lives, and
// everything that is removed bears a name that only this type gives.
func (d *runDir) sweep(log *slog.Logger) {
	sockets := filepath.Join(d.path, socketsName)
	if target, err := os.Readlink(sockets); err == nil {
		if filepath.IsAbs(target) && strings.HasPrefix(filepath.Base(target), sparePrefix) && checkPrivate(target) == nil {
			_ = os.RemoveAll(target)
		}
		_ = os.Remove(sockets)
	}
	old, _ := os.ReadDir(sockets)
	if err := os.RemoveAll(sockets); err != nil {
		log.Warn("old sockets not removed", slog.String("dir", sockets), slog.Any("error", err))
	}
	links, _ := filepath.Glob(filepath.Join(d.path, "*.sock"))
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(target, socketsName+string(filepath.Separator)) {
			_ = os.Remove(link)
		}
	}
	if len(old) > 0 {
		log.Info("removed what an earlier broker left", slog.String("dir", sockets), slog.Int("plugins", len(old)))
	}
}

// makeSockets makes p.
func (d *runDir) makeSockets() error {
	p := filepath.Join(d.path, socketsName)
	if len(p)+len("/1000000") <= maxSocketDir {
		d.sockets = p
		return os.Mkdir(p, 0o700)
	}
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		spare, err := os.MkdirTemp(parent, sparePrefix)
		if err != nil {
			continue
		}
		if len(spare)+len("/1000000") <= maxSocketDir {
			d.sockets = spare
			return os.Symlink(spare, p)
		}
		_ = os.Remove(spare)
	}
	return errors.New("its path is too long for sockets, and so is that of the temporary directory: give a shorter one")
}

// number returns the number of a new instance. It is not used again.
func (d *runDir) number() uint64 { return d.next.Add(1) }

// claim makes the private directory of a process.
func (d *runDir) claim(id uint64) (dir string, err error) {
	dir = filepath.Join(d.sockets, strconv.FormatUint(id, 10))
	return dir, os.Mkdir(dir, 0o700)
}

// holds reports whether a socket lies in dir itself.
func (d *runDir) holds(dir, socket string) bool {
	return filepath.Dir(filepath.Clean(socket)) == dir
}

// link points name's stable socket at socket, which lies below p.
func (d *runDir) link(name, socket string) error {
	rel, err := filepath.Rel(d.sockets, socket)
	if err != nil {
		return err
	}
	stable := d.stable(name)
	fresh := stable + ".new"
	_ = os.Remove(fresh)
	if err := os.Symlink(filepath.Join(socketsName, rel), fresh); err != nil {
		return err
	}
	return os.Rename(fresh, stable)
}

// unlink removes name's stable socket if it still points at socket.
func (d *runDir) unlink(name, socket string) {
	stable := d.stable(name)
	target, err := os.Readlink(stable)
	if err == nil && filepath.Base(filepath.Dir(target)) == filepath.Base(filepath.Dir(socket)) {
		_ = os.Remove(stable)
	}
}

func (d *runDir) stable(name string) string { return filepath.Join(d.path, name+".sock") }

// close removes what the host made and gives the directory free. The lock file
// stays: another broker may be about to lock it.
func (d *runDir) close() {
	if d.sockets != "" {
		_ = os.RemoveAll(d.sockets)
		_ = os.Remove(filepath.Join(d.path, socketsName))
	}
	_ = d.lock.Close()
}

// checkPrivate refuses a directory into which others can write.
func checkPrivate(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "open", Path: path, Err: errors.New("not a directory")}
	}
	if err := ownedByUs(info); err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 && !modesAreFiction {
		return fmt.Errorf("others can write to it (mode %s): use a private directory, or chmod 700", info.Mode().Perm())
	}
	return nil
}
