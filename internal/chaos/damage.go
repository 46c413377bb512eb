//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// fault is what is done to the broker's store around one kill.
type fault int

const (
	unharmed fault = iota
	torn           // what is not synced of its log is cut off, as a power cut does
	flipped        // a bit of one of its files is changed
	failing        // each k-th call that writes fails
	slow           // syncs take their time
)

// deck is how often each fault comes in as many kills.
var deck = []fault{torn, torn, torn, torn, flipped, failing, failing, slow, slow, unharmed, unharmed, unharmed}

// damage does to a store what disks and power cuts do. It belongs to one
// goroutine.
type damage struct {
	dir     string // of orders to the broker, and what it tells
	data    string // the broker's
	program string
	log     string
	random  *rand.Rand
	synced  bool // nothing is acknowledged that is not synced

	cards       []fault // to come
	suspect     bool    // a bit was flipped in the run that has just ended, or before it
	asides      int     // stores that the broker has put aside so far
	unflushed   bool    // the log may have more than the last run
	torn, flips int
	healed      int // damaged stores that were found out by a check
}

func newDamage(o *options, dir string, random *rand.Rand) (*damage, error) {
	d := &damage{
		dir: filepath.Join(dir, "faults"), data: filepath.Join(dir, "data"), log: filepath.Join(dir, "broker.log"),
		program: o.broker, random: random, synced: o.durability == "sync",
	}
	return d, os.MkdirAll(d.dir, 0o700)
}

// environ is what the broker has to be told.
func (d *damage) environ() []string {
	if d == nil {
		return nil
	}
	return append(os.Environ(), "GATEHOUSE_STORE_FAULTS="+d.dir)
}

// possible returns why the broker that runs can't be damaged.
func (d *damage) possible() error {
	if d == nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(d.dir, "failed")); err != nil {
		return fmt.Errorf("%s was not built with the tag faults, and -faults=false is not given: %w", d.program, err)
	}
	return nil
}

// next chooses what comes next.
func (d *damage) next() fault {
	if d == nil {
		return unharmed
	}
	if len(d.cards) == 0 {
		d.cards = append(d.cards, deck...)
		d.random.Shuffle(len(d.cards), func(i, j int) { d.cards[i], d.cards[j] = d.cards[j], d.cards[i] })
	}
	f := d.cards[0]
	d.cards = d.cards[1:]
	return f
}

// order has the broker's calls fail, or its disk be slow, from now on.
func (d *damage) order(f fault) error {
	every, slowly := 0, time.Duration(0)
	switch f {
	case failing:
		every = 1 + d.random.IntN(60)
	case slow:
		slowly = time.Duration(1+d.random.IntN(30)) * time.Millisecond
	case unharmed, torn, flipped:
	}
	name := filepath.Join(d.dir, "orders")
	if err := os.WriteFile(name+".new", fmt.Appendf(nil, "every=%d slow=%v", every, slowly), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// calm takes all orders back.
func (d *damage) calm() error {
	if d == nil {
		return nil
	}
	return d.order(unharmed)
}

// count is how often the broker says that something was done to it.
func (d *damage) count(name string) int64 {
	if d == nil {
		return 0
	}
	info, err := os.Stat(filepath.Join(d.dir, name))
	if err != nil {
		return 0
	}
	return info.Size()
}

// tear cuts off some of what the disk does not have of the write-ahead logs, or
// puts nonsense behind it. Of a broker that acknowledges what is not synced
// nothing is cut off.
func (d *damage) tear() error {
	names, err := filepath.Glob(filepath.Join(d.data, "sessions", "*.log"))
	if err != nil || len(names) == 0 {
		return err
	}
	d.torn++
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(d.dir, "synced", filepath.Base(name)))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		kept, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return err
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if d.synced && info.Size() > kept {
			if err := os.Truncate(name, kept+d.random.Int64N(info.Size()-kept+1)); err != nil {
				return err
			}
		}
	}
	f, err := os.OpenFile(names[len(names)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	nonsense := make([]byte, d.random.IntN(100))
	for i := range nonsense {
		nonsense[i] = byte(d.random.Uint32())
	}
	_, err = f.Write(nonsense)
	return errors.Join(err, f.Close())
}

// flip changes one bit of one file of the store, and reports which file.
func (d *damage) flip() (name string, err error) {
	list, err := os.ReadDir(filepath.Join(d.data, "sessions"))
	if err != nil {
		return "", err
	}
	var names []string
	for _, entry := range list {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		return "", errors.New("the store has no files")
	}
	d.flips++
	d.suspect = true
	name = names[d.random.IntN(len(names))]
	f, err := os.OpenFile(filepath.Join(d.data, "sessions", name), os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	info, err := f.Stat()
	if err == nil {
		at, b := d.random.Int64N(info.Size()), make([]byte, 1)
		if _, err = f.ReadAt(b, at); err == nil {
			b[0] ^= 1 << d.random.IntN(8)
			_, err = f.WriteAt(b, at)
		}
	}
	return name, errors.Join(err, f.Close())
}

// check looks whether a store in which a bit was flipped is damaged, and puts it
// aside then, as docs/operations.md has it.
func (d *damage) check() (gone bool, err error) {
	d.suspect = false
	out, err := exec.Command(d.program, "store", "check", "--data-dir", d.data).CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return false, nil
	case !errors.As(err, &failed):
		return false, err
	case bytes.Contains(out, []byte("panic")):
		return false, fmt.Errorf("store check: %s", out)
	}
	d.healed++
	return true, os.Rename(filepath.Join(d.data, "sessions"), filepath.Join(d.data, fmt.Sprint("sessions.damaged-", d.healed)))
}

// aside reports whether the broker has put its store aside since the last call. It
// has to have said so.
func (d *damage) aside() (bool, error) {
	if d == nil {
		return false, nil
	}
	list, err := filepath.Glob(filepath.Join(d.data, "sessions.corrupt-*"))
	if err != nil || len(list) == d.asides {
		return false, err
	}
	d.asides = len(list)
	text, err := os.ReadFile(d.log)
	if said := strings.Count(string(text), "the store of sessions is corrupt"); err == nil && said != d.asides {
		err = fmt.Errorf("%d stores were put aside, and the log tells of %d", d.asides, said)
	}
	return true, err
}

// String tells what was done.
func (d *damage) String() string {
	if d == nil {
		return ""
	}
	return fmt.Sprintf("torn=%d flipped=%d aside=%d found_by_check=%d failed_calls=%d slow=%d ",
		d.torn, d.flips, d.asides, d.healed, d.count("failed"), d.count("slow"))
}

func (f fault) String() string {
	return [...]string{"no fault", "a torn log", "a flipped bit", "failing calls", "a slow disk"}[f]
}
