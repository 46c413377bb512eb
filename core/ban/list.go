package ban

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// MaxEntries bounds a list. What a broker bans by itself leaves room for what
// people ban: it fills at most half.
const MaxEntries = 100_000

var (
	// ErrFull is returned by [List.Ban] for one ban too many.
	ErrFull = fmt.Errorf("there are %d bans already", MaxEntries)
	// ErrNotKept wraps what went wrong with the file. The change is in force
	// nevertheless, until the broker ends.
	ErrNotKept = errors.New("in force, but not written to the file")
)

// List is a list of bans. Make it with [Open] or take the zero value, which has
// no file. Its methods may be called from many goroutines.
type List struct {
	path string
	now  func() time.Time // nil means time.Now

	writing sync.Mutex // held over a change and its writing, so that the last one written is the newest

	mu       sync.RWMutex // guards the fields below
	names    map[name]Ban
	networks networks
	own      int // transient entries
}

// name is a client identifier or a user name.
type name struct {
	kind  Kind
	value string
}

// Options are what a list is made of.
type Options struct {
	// Path is the file; "" for none. Its folder has to exist.
	Path string
	// Logger is told of a file that cannot be read; nil discards.
	Logger *slog.Logger
	// Now is the clock, for tests; nil means time.Now. Bans end by the wall
	// clock, since they outlast the broker.
	Now func() time.Time
}

// Open makes a list with what its file has. A file that is no list of bans is
// renamed to end in ".corrupt", logged, and the list begins empty; an error is
// one of the file system's.
func Open(o Options) (*List, error) {
	l := &List{path: o.Path, now: o.Now}
	if l.path == "" {
		return l, nil
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	kept, err := read(l.path, log)
	if err != nil {
		return nil, fmt.Errorf("bans: %w", err)
	}
	now := l.clock()
	for _, b := range kept {
		if b, err = b.Canonical(); err != nil {
			log.Error("entry of the list of bans is ignored", "file", l.path, "error", err)
			continue
		}
		if !b.expired(now) {
			l.put(b)
		}
	}
	return l, nil
}

func (l *List) clock() time.Time {
	if l.now == nil {
		return time.Now()
	}
	return l.now()
}

// Ban adds b, or replaces the ban of the same kind and value, and returns it as
// it is in the list. Clients that are connected stay; see the broker's
// EndBanned. The error wraps ErrInvalid, ErrFull or ErrNotKept; the ban is in
// force only with the last.
func (l *List) Ban(b Ban) (Ban, error) {
	b, err := b.Canonical()
	if err != nil {
		return b, err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	now := l.clock()
	if b.Since.IsZero() {
		b.Since = now.Round(0)
	}
	l.mu.Lock()
	before, replaces := l.get(b.Kind, b.Value)
	most := MaxEntries
	if b.Transient {
		most /= 2
	}
	if !replaces && l.size(b.Transient) >= most {
		l.prune(now)
		if l.size(b.Transient) >= most {
			l.mu.Unlock()
			return b, ErrFull
		}
	}
	if replaces && !before.Transient && b.Transient && !before.expired(now) {
		l.mu.Unlock()
		return before, nil // people's word holds
	}
	l.put(b)
	l.mu.Unlock()
	if b.Transient && (!replaces || before.Transient) {
		return b, nil
	}
	return b, l.write()
}

// Unban ends the ban of a kind and value, in any notation, and reports whether
// there was one. The error wraps ErrInvalid or ErrNotKept.
func (l *List) Unban(k Kind, value string) (bool, error) {
	b, err := Ban{Kind: k, Value: value}.Canonical()
	if err != nil {
		return false, err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	before, ok := l.get(b.Kind, b.Value)
	if ok {
		l.remove(before)
	}
	l.mu.Unlock()
	if !ok {
		return false, nil
	}
	if before.Transient {
		return !before.expired(l.clock()), nil
	}
	return !before.expired(l.clock()), l.write()
}

// List returns the bans that are in force, by kind and value.
func (l *List) List() []Ban {
	now := l.clock()
	l.mu.RLock()
	out := make([]Ban, 0, len(l.names)+l.networks.len())
	for b := range l.all() {
		if !b.expired(now) {
			out = append(out, b)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(out, func(a, b Ban) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	return out
}

// Address returns the ban that an address is under, of several that of the
// smallest network. An address that is not valid is under none.
func (l *List) Address(a netip.Addr) (Ban, bool) {
	if !a.IsValid() {
		return Ban{}, false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.networks.len() == 0 {
		return Ban{}, false
	}
	return l.networks.match(plain(a), l.clock())
}

// Name returns the ban that a client identifier or user name is under.
func (l *List) Name(k Kind, value string) (Ban, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.names) == 0 {
		return Ban{}, false
	}
	b, ok := l.names[name{k, value}]
	return b, ok && !b.expired(l.clock())
}
