package broker

import (
	"bytes"
	"fmt"
	"maps"
	"sync"
)

// Bounds of what the server API may put into a session's items.
const (
	maxItems     = 256
	maxItemBytes = 64 << 10
)

// serverItems are the items of the server's own session: messages of the server
// and of plugins have no other. They last as long as the broker.
type serverItems struct {
	mu    sync.Mutex
	items map[string][]byte // replaced, not changed
}

func (s *serverItems) get() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items
}

func (s *serverItems) update(set map[string][]byte, remove []string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items, err := changedItems(s.items, set, remove)
	if err == nil {
		s.items = items
	}
	return items, err
}

// UpdateItems sets items of a session and removes others, and returns all as
// they then are; they must not be changed. Every later hook sees them, until the
// validators decide about the client anew. The empty identifier is the server's
// own session, whose items no hook is handed: whoever wants them asks for them.
// The error is ErrUnknownClient, or wraps ErrQuota: up to 256 items and 64 KiB of
// names and values; then nothing has changed.
func (a Sessions) UpdateItems(id string, set map[string][]byte, remove ...string) (map[string][]byte, error) {
	if id == "" {
		return a.b.serverItems.update(set, remove)
	}
	cl := a.b.clients.get(id)
	if cl == nil {
		return nil, ErrUnknownClient
	}
	items, err := cl.updateItems(set, remove)
	if err == nil {
		cl.describe()
	}
	return items, err
}

func (c *client) updateItems(set map[string][]byte, remove []string) (map[string][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.info.Load()
	if old == nil {
		return nil, ErrUnknownClient // its first connection is not there yet
	}
	items, err := changedItems(old.Items, set, remove)
	if err != nil {
		return nil, err
	}
	info := *old
	info.Items = items
	c.info.Store(&info)
	return items, nil
}

// changedItems is a copy of items with some set and others removed.
func changedItems(old, set map[string][]byte, remove []string) (map[string][]byte, error) {
	items := make(map[string][]byte, len(old)+len(set))
	maps.Copy(items, old)
	for _, name := range remove {
		delete(items, name)
	}
	for name, value := range set {
		items[name] = bytes.Clone(value)
	}
	size := 0
	for name, value := range items {
		size += len(name) + len(value)
	}
	if len(items) > maxItems || size > maxItemBytes {
		return nil, fmt.Errorf("%w: the session would have %d items of %d bytes", ErrQuota, len(items), size)
	}
	return items, nil
}
