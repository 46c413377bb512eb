package quota

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// defaultInterval is how often a ledger is written that changes all the time.
const defaultInterval = 5 * time.Second

// writingShare bounds the part of the time that is spent with writing, for
// ledgers that are large: one in so many.
const writingShare = 20

// Options are what a ledger is made of.
type Options struct {
	// Path is the file; "" for none. Its folder has to exist.
	Path string
	// Logger is told of quotas that are used up, and of a file that can't be
	// read or written; nil discards.
	Logger *slog.Logger
	// Interval is the least time between two writings of the file: what a
	// killed broker forgets was used for at most about so long. Zero means 5 s.
	Interval time.Duration
	// Now is the clock, for tests; nil means time.Now.
	Now func() time.Time
}

// Ledger holds accounts. Make it with [Open]. Its methods may be called from
// many goroutines.
type Ledger struct {
	path     string
	log      *slog.Logger
	interval time.Duration
	now      func() time.Time

	dirty   atomic.Bool // something is not in the file
	failing atomic.Bool // the last writing failed

	writing sync.Mutex // held over a writing of the file

	mu     sync.Mutex // guards the field below
	byName map[string]*account
}

// Open makes a ledger with what its file has; [Ledger.Run] writes it. A file that
// is no ledger is renamed to end in ".corrupt" and logged, and counting begins
// anew; an error is one of the file system's, or says that a newer broker has
// written the file.
func Open(o Options) (*Ledger, error) {
	l := &Ledger{
		path: o.Path, log: o.Logger, interval: cmp.Or(o.Interval, defaultInterval), now: o.Now, byName: make(map[string]*account),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.path == "" {
		return l, nil
	}
	return l, l.read()
}

// Open returns a meter for a grant. The error is ErrFull.
func (l *Ledger) Open(g Grant) (*Meter, error) {
	if g.Zone == nil {
		g.Zone = time.UTC
	}
	m := &Meter{ledger: l, grant: g}
	a, err := l.account(&m.grant)
	if err != nil {
		return nil, err
	}
	m.account.Store(a)
	return m, nil
}

// account returns the account of a grant, which is made if there is none.
func (l *Ledger) account(g *Grant) (*account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.byName[g.Account]
	if a == nil {
		if len(l.byName) >= MaxAccounts {
			return nil, ErrFull
		}
		a = &account{name: g.Account, zone: g.Zone}
		l.byName[g.Account] = a
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.zoned(g.Zone)
	a.granted = *g
	return a, nil
}

// touched notes that there is something to write.
func (l *Ledger) touched() {
	if !l.dirty.Load() { // many write, and nobody has to wait for the others
		l.dirty.Store(true)
	}
}

// accounts returns all accounts by name.
func (l *Ledger) accounts() []*account {
	l.mu.Lock()
	out := make([]*account, 0, len(l.byName))
	for _, a := range l.byName {
		out = append(out, a)
	}
	l.mu.Unlock()
	slices.SortFunc(out, func(a, b *account) int { return cmp.Compare(a.name, b.name) })
	return out
}

// List returns the accounts by name.
func (l *Ledger) List() []Usage {
	now := l.now()
	list := l.accounts()
	out := make([]Usage, len(list))
	for i, a := range list {
		out[i] = a.usage(now)
	}
	return out
}

// Reset forgets what an account has used, and reports whether there is one. The
// error is the file's: the account is reset nevertheless.
func (l *Ledger) Reset(name string) (bool, error) {
	l.mu.Lock()
	a := l.byName[name]
	l.mu.Unlock()
	if a == nil {
		return false, nil
	}
	a.clear()
	l.touched()
	return true, l.Save()
}

// Run writes the ledger to its file, now and then while it changes, and once more
// when ctx has ended. It blocks until then. The error is that of the last
// writing.
func (l *Ledger) Run(ctx context.Context) error {
	pause := l.interval
	for {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return l.Save()
		}
		began := time.Now()
		if err := l.Save(); err != nil && !l.failing.Swap(true) {
			l.log.Error("usage of quotas is not written", slog.Any("error", err))
		} else if err == nil {
			l.failing.Store(false)
		}
		pause = max(l.interval, writingShare*time.Since(began))
	}
}

// sweep forgets accounts that have used nothing in the day and month that it is.
func (l *Ledger) sweep() {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, a := range l.byName {
		if a.leave(now) {
			delete(l.byName, name)
		}
	}
}
