package hook

import (
	"container/list"
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the decisions that are kept of one validator.
const (
	maxKept      = 10_000
	maxKeptBytes = 16 << 20
)

// keeper keeps a validator's decisions for as long as the validator said, and
// lets clients share a call who ask the same at the same time. It costs nothing
// until the validator first says that a decision may be kept.
type keeper struct {
	secret []byte // of the keys; nothing of a password can be learnt from them
	inUse  atomic.Bool

	mu     sync.Mutex // guards the fields below
	byKey  map[connectKey]*list.Element
	recent list.List // of *kept; the least recently used is last
	bytes  int
	asking map[connectKey]*question
}

// kept is one decision.
type kept struct {
	key        connectKey
	decision   *Decision
	generation uint64 // of the validator
	made       time.Time
	until      time.Time
	size       int
}

// question is a call whose answer others wait for.
type question struct {
	answered chan struct{}
	decision *Decision // written before answered is closed; nil if it is for one client only
}

func newKeeper() *keeper {
	k := &keeper{
		secret: make([]byte, 32),
		byKey:  make(map[connectKey]*list.Element),
		asking: make(map[connectKey]*question),
	}
	rand.Read(k.secret) //nolint:errcheck // it never fails
	return k
}

// find returns the decision about a CONNECT that was kept, or nil.
func (k *keeper) find(c *Connect, generation uint64) *Decision {
	if !k.inUse.Load() || c.ClientID == "" {
		return nil
	}
	key := keyOf(k.secret, c)
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.byKey[key]
	if e == nil {
		return nil
	}
	found, now := e.Value.(*kept), time.Now()
	if found.generation != generation || !now.Before(found.until) {
		k.drop(e)
		return nil
	}
	k.recent.MoveToFront(e)
	return found.at(now)
}

// at is the decision as it is worth at now.
func (d *kept) at(now time.Time) *Decision {
	if d.decision.ValidFor == 0 {
		return d.decision
	}
	aged := *d.decision
	aged.ValidFor -= now.Sub(d.made) // more than zero: it is not kept longer
	return &aged
}

// ask has the validator decide, unless somebody asks the same already: then it
// waits for that answer, and asks only if it is not for others too.
func (k *keeper) ask(ctx context.Context, c *Connect, generation uint64, validate func() (*Decision, error)) (*Decision, error) {
	if !k.inUse.Load() || c.ClientID == "" {
		d, err := validate()
		if err == nil && d != nil && d.CacheFor > 0 && c.ClientID != "" {
			k.replace(keyOf(k.secret, c), generation, d)
		}
		return d, err
	}
	key := keyOf(k.secret, c)
	k.mu.Lock()
	q, asked := k.asking[key]
	if !asked {
		q = &question{answered: make(chan struct{})}
		k.asking[key] = q
	}
	k.mu.Unlock()
	if !asked {
		return k.lead(key, q, generation, validate)
	}
	select {
	case <-q.answered:
		if q.decision != nil {
			return q.decision, nil
		}
		return validate()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lead asks for all who wait for q.
func (k *keeper) lead(key connectKey, q *question, generation uint64, validate func() (*Decision, error)) (*Decision, error) {
	defer func() {
		k.mu.Lock()
		if k.asking[key] == q {
			delete(k.asking, key)
		}
		k.mu.Unlock()
		close(q.answered)
	}()
	d, err := validate()
	if err != nil || d == nil || d.CacheFor <= 0 {
		return d, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asking[key] == q { // or else a later decision counts
		q.decision = d
		k.put(key, generation, d)
	}
	return d, nil
}

// renew keeps a decision that was made although another might have been kept,
// and forgets that one.
func (k *keeper) renew(c *Connect, generation uint64, d *Decision) {
	if c.ClientID != "" && (d.CacheFor > 0 || k.inUse.Load()) {
		k.replace(keyOf(k.secret, c), generation, d)
	}
}

func (k *keeper) replace(key connectKey, generation uint64, d *Decision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.asking, key)
	k.put(key, generation, d)
}

// put replaces what is kept for a key. The caller holds mu.
func (k *keeper) put(key connectKey, generation uint64, d *Decision) {
	if e := k.byKey[key]; e != nil {
		k.drop(e)
	}
	if d.CacheFor <= 0 {
		return
	}
	now := time.Now()
	lasts := d.CacheFor - mathrand.N(d.CacheFor/10+1) //nolint:gosec // spreading needs no secrecy
	if d.ValidFor > 0 {
		lasts = min(lasts, d.ValidFor)
	}
	added := &kept{key: key, decision: d, generation: generation, made: now, until: now.Add(lasts), size: d.size()}
	if added.size > maxKeptBytes/16 {
		return
	}
	k.inUse.Store(true)
	k.byKey[key] = k.recent.PushFront(added)
	k.bytes += added.size
	for k.recent.Len() > maxKept || k.bytes > maxKeptBytes {
		k.drop(k.recent.Back())
	}
}

// drop forgets a decision. The caller holds mu.
func (k *keeper) drop(e *list.Element) {
	d := k.recent.Remove(e).(*kept)
	delete(k.byKey, d.key)
	k.bytes -= d.size
}

// size is about what a decision takes in memory.
func (d *Decision) size() int {
	n := 512 + len(d.Reason) + len(d.ServerReference) + len(d.AssignedClientID) + len(d.Mountpoint) + len(d.AuthData)
	for _, u := range d.User {
		n += 32 + len(u.Key) + len(u.Value)
	}
	if d.Username != nil {
		n += len(*d.Username)
	}
	for key, v := range d.Items {
		n += 64 + len(key) + len(v)
	}
	if d.Grants != nil {
		for i := range d.Grants.List {
			n += 64 + len(d.Grants.List[i].Filter)
		}
	}
	return n
}
