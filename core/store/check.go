package store

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Report is what is in a store.
type Report struct {
	Sessions      int
	Subscriptions int
	Messages      int // in all queues
	Shared        int // of them stored once for several queues
	Unused        int // shared messages that nobody refers to
	Retained      int // messages
}

// Check reads all of a store that no broker uses and changes nothing that it
// says. The error says that it is corrupt, or can't be read.
func Check(dir string, log *slog.Logger) (Report, error) {
	disk := vfs.Default
	if _, err := disk.Stat(dir); err != nil {
		return Report{}, err
	}
	lock, err := disk.Lock(dir + ".lock")
	if err != nil {
		return Report{}, err
	}
	defer func() { _ = lock.Close() }()
	db := newDatabase(disk)
	if err := db.open(dir, log, new(pebble.Options)); err != nil {
		return Report{}, err
	}
	defer func() { _ = db.Close() }()
	if err := checkFormat(db.DB, false); err != nil {
		return Report{}, err
	}
	l, err := load(db.DB)
	if err != nil {
		return Report{}, err
	}
	r, err := verify(db.DB, l)
	if err != nil {
		return Report{}, err
	}
	if r.Retained, err = checkRetained(db); err != nil {
		return Report{}, err
	}
	return r, nil
}
