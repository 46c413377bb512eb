package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// fault is what a disk does at one call.
type fault int

const (
	faultNone    fault = iota
	faultError         // fails and does nothing
	faultHalf          // a write: writes half, then fails; a sync: forgets what was to be synced, then fails
	faultCrash         // does half of it, then the machine stops
	faultCrashed       // does all of it, then the machine stops
)

func (f fault) String() string {
	return [...]string{"none", "error", "half", "crash", "crashed"}[f]
}

var (
	errDisk    = errors.New("input/output error")
	errStopped = errors.New("machine has stopped")
)

// disk is a file system in memory that fails where it is told to, and whose
// power can be cut. Calls that change something are counted.
type disk struct {
	mu      sync.Mutex
	names   map[string]*inode
	durable map[string]*inode
	ops     []nameOp // since the folder was synced
	fault   func(call int, op string) fault
	calls   int
	stopped bool
}

type nameOp struct {
	name string
	to   *inode // nil: removed
	old  string // a rename: the name that goes away
}

// inode is a file: what programs see, what is on the platter, and what was
// done since.
type inode struct {
	data    []byte
	platter []byte
	pending []pending
}

type pending struct {
	off  int64
	data []byte
	size int64 // of a truncate
	cut  bool
}

func newDisk() *disk {
	return &disk{names: make(map[string]*inode), durable: make(map[string]*inode)}
}

// call counts a call and tells what is to happen.
func (d *disk) call(op string) (fault, error) {
	if d.stopped {
		return faultNone, errStopped
	}
	d.calls++
	f := faultNone
	if d.fault != nil {
		f = d.fault(d.calls, op)
	}
	switch f {
	case faultCrash, faultCrashed:
		d.stopped = true
		return f, errStopped
	case faultError, faultHalf:
		return f, fmt.Errorf("%s: %w", op, errDisk)
	default:
		return f, nil
	}
}

func (f fault) happens() bool { return f == faultNone || f == faultCrashed }

func (d *disk) Open(path string, flag int) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, ok := d.names[path]
	if !ok && flag&os.O_CREATE == 0 {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if !ok || flag&os.O_TRUNC != 0 {
		f, err := d.call("open " + filepath.Base(path))
		if f.happens() {
			if !ok {
				node = new(inode)
				d.names[path] = node
				d.ops = append(d.ops, nameOp{name: path, to: node})
			}
			node.cut(0)
		}
		if err != nil {
			return nil, err
		}
	}
	if d.stopped {
		return nil, errStopped
	}
	return &diskFile{disk: d, node: node, name: filepath.Base(path)}, nil
}

func (d *disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.call("rename " + filepath.Base(from))
	if f.happens() {
		node := d.names[from]
		delete(d.names, from)
		d.names[to] = node
		d.ops = append(d.ops, nameOp{name: to, to: node, old: from})
	}
	return err
}

func (d *disk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.names[path]; !ok {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	f, err := d.call("remove " + filepath.Base(path))
	if f.happens() {
		delete(d.names, path)
		d.ops = append(d.ops, nameOp{name: path})
	}
	return err
}

func (d *disk) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.call("sync folder")
	if f.happens() {
		d.durable = maps.Clone(d.names)
		d.ops = nil
	}
	return err
}

// killed returns the disk as the next process finds it.
func (d *disk) killed() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newDisk()
	for name, node := range d.names {
		next.names[name] = &inode{data: slices.Clone(node.data), platter: slices.Clone(node.platter), pending: slices.Clone(node.pending)}
	}
	next.durable = maps.Clone(next.names)
	return next
}

// unplugged returns the disk as it is after its power was cut: of what was not
// synced any part may be there, names in their order, data in any.
func (d *disk) unplugged(r *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := maps.Clone(d.durable)
	for _, op := range d.ops[:r.IntN(len(d.ops)+1)] {
		delete(names, op.old)
		if op.to == nil {
			delete(names, op.name)
		} else {
			names[op.name] = op.to
		}
	}
	next := newDisk()
	for name, node := range names {
		data := node.survives(r)
		next.names[name] = &inode{data: data, platter: slices.Clone(data)}
	}
	next.durable = maps.Clone(next.names)
	return next
}

// sectorSize is how much a platter writes at once.
const sectorSize = 64

// survives returns what is on the platter after a power cut.
func (n *inode) survives(r *rand.Rand) []byte {
	data := slices.Clone(n.platter)
	keep := []float64{0, 0.5, 0.9, 1}[r.IntN(4)]
	for _, p := range n.pending {
		if p.cut {
			if r.Float64() < keep {
				data = resize(data, p.size)
			}
			continue
		}
		for i := 0; i < len(p.data); {
			end := min(len(p.data), i+sectorSize-int(p.off+int64(i))%sectorSize)
			if r.Float64() < keep {
				data = put(data, p.off+int64(i), p.data[i:end])
			}
			i = end
		}
	}
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

func put(data []byte, off int64, p []byte) []byte {
	if end := off + int64(len(p)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[off:], p)
	return data
}

func (n *inode) cut(size int64) {
	n.data = resize(slices.Clone(n.data), size)
	n.pending = append(n.pending, pending{size: size, cut: true})
}

func (n *inode) write(p []byte, off int64) {
	n.data = put(slices.Clone(n.data), off, p)
	n.pending = append(n.pending, pending{off: off, data: bytes.Clone(p)})
}

type diskFile struct {
	disk *disk
	node *inode
	name string
}

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.stopped {
		return 0, errStopped
	}
	return bytes.NewReader(f.node.data).ReadAt(p, off)
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	kind, err := f.disk.call("write " + f.name)
	n := len(p)
	switch kind {
	case faultError:
		n = 0
	case faultHalf, faultCrash:
		n /= 2
	}
	if n > 0 && (err == nil || kind != faultNone) {
		f.node.write(p[:n], off)
	}
	return n, err
}

func (f *diskFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	kind, err := f.disk.call("truncate " + f.name)
	if kind.happens() && err == nil || kind == faultCrashed {
		f.node.cut(size)
	}
	return err
}

func (f *diskFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	kind, err := f.disk.call("sync " + f.name)
	switch {
	case err == nil || kind == faultCrashed:
		f.node.platter = slices.Clone(f.node.data)
		f.node.pending = nil
	case kind == faultHalf:
		f.node.pending = nil // "written", says the cache
	}
	return err
}

func (f *diskFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *diskFile) Close() error { return nil }

var _ io.ReaderAt = (*diskFile)(nil)
