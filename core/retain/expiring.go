package retain

import "container/heap"

// expiring is a heap of the messages that expire, the next one first.
type expiring []*entry

func (h *expiring) add(e *entry) {
	if _, expires := e.message.ExpiresAt(); expires {
		heap.Push(h, e)
	}
}

func (h *expiring) remove(e *entry) {
	if e.place >= 0 {
		heap.Remove(h, e.place)
	}
}

// Len is part of [heap.Interface].
func (h expiring) Len() int { return len(h) }

// Less is part of [heap.Interface].
func (h expiring) Less(i, j int) bool {
	a, _ := h[i].message.ExpiresAt()
	b, _ := h[j].message.ExpiresAt()
	return a.Before(b)
}

// Swap is part of [heap.Interface].
func (h expiring) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push is part of [heap.Interface].
func (h *expiring) Push(e any) {
	e.(*entry).place = len(*h)
	*h = append(*h, e.(*entry))
}

// Pop is part of [heap.Interface].
func (h *expiring) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.place = -1
	return e
}

var _ heap.Interface = (*expiring)(nil)
