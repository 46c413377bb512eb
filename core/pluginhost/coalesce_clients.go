package pluginhost

import "github.com/gatehouse-mqtt/gatehouse/core/hook"

// Bounds of what one stream's plugin is asked to remember of clients.
const (
	maxKnownClients     = 16384
	maxKnownClientBytes = 8 << 20
)

// clientTable knows which clients the plugin at the other end of a stream has
// been told of: each once, the least recently used forgotten again. A client
// that comes back, or whose items have changed, is told again. It belongs to
// the goroutine that sends.
type clientTable struct {
	known  map[uint64]*knownClient
	recent knownClient // ring: recent.next was used last, recent.prev longest ago
	bytes  int
	frame  uint64 // counts frames; what a frame uses is not forgotten in it

	added  []byte   // ClientContext fields for the frame under construction
	forget []uint64 // to be told with the next frame

	maxClients, maxBytes int
}

type knownClient struct {
	prev, next *knownClient
	client     *hook.Client
	size       int
	frame      uint64
}

func newClientTable(maxClients, maxBytes int) *clientTable {
	t := &clientTable{known: make(map[uint64]*knownClient), maxClients: maxClients, maxBytes: maxBytes}
	t.recent.prev, t.recent.next = &t.recent, &t.recent
	return t
}

// begin starts a frame.
func (t *clientTable) begin() {
	t.frame++
	t.added = t.added[:0]
}

// use makes sure that c is known when the frame arrives.
func (t *clientTable) use(c *hook.Client) {
	k := t.known[c.ConnectionID]
	if k != nil && k.client == c {
		k.frame = t.frame
		k.unlink()
		t.recent.push(k)
		return
	}
	if k == nil {
		k = new(knownClient)
		t.known[c.ConnectionID] = k
		t.recall(c.ConnectionID)
	} else {
		t.bytes -= k.size
		k.unlink()
	}
	before := len(t.added)
	t.added = appendNested(t.added, fieldClients, func(dst []byte) []byte { return appendClient(dst, c) })
	k.client, k.size, k.frame = c, len(t.added)-before, t.frame
	t.bytes += k.size
	t.recent.push(k)
	t.evict()
}

// recall takes back what the plugin was to be told: the client is named again.
func (t *clientTable) recall(id uint64) {
	for i, f := range t.forget {
		if f == id {
			last := len(t.forget) - 1
			t.forget[i] = t.forget[last]
			t.forget = t.forget[:last]
			return
		}
	}
}

// evict forgets until the bounds hold, but nothing that this frame uses.
func (t *clientTable) evict() {
	for len(t.known) > t.maxClients || t.bytes > t.maxBytes {
		k := t.recent.prev
		if k == &t.recent || k.frame == t.frame {
			return
		}
		k.unlink()
		t.bytes -= k.size
		delete(t.known, k.client.ConnectionID)
		t.forget = append(t.forget, k.client.ConnectionID)
	}
}

// append writes what the frame has to tell about clients.
func (t *clientTable) append(dst []byte) []byte {
	dst = append(dst, t.added...)
	if len(t.forget) > 0 {
		dst = appendNested(dst, fieldForget, func(dst []byte) []byte {
			for _, id := range t.forget {
				dst = appendVarint(dst, id)
			}
			return dst
		})
		t.forget = t.forget[:0]
	}
	return dst
}

// size is an upper bound of what append writes.
func (t *clientTable) size() int { return len(t.added) + 10*len(t.forget) + 10 }

func (k *knownClient) unlink() {
	k.prev.next, k.next.prev = k.next, k.prev
}

// push puts added at the front of the ring that k is the anchor of.
func (k *knownClient) push(added *knownClient) {
	added.prev, added.next = k, k.next
	k.next.prev, k.next = added, added
}
