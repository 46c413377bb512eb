package retain

import "slices"

// queue gathers changes for the writer. Of several changes of one topic it
// keeps the last.
type queue struct {
	changes []queued       // in order of revision
	places  map[string]int // of the topics, in changes
	load    load           // of the live changes
}

// queued is a change in the queue. One whose place was taken by a later
// one of the same topic has the operation 0.
type queued struct {
	Change

	// oldest is the first revision that the change stands for: its own, or
	// that of the first change in a row whose place it took.
	oldest uint64
}

// load is what the bounds of the queue count.
type load struct {
	changes, bytes int
}

func (l *load) add(o load) { l.changes, l.bytes = l.changes+o.changes, l.bytes+o.bytes }
func (l *load) sub(o load) { l.changes, l.bytes = l.changes-o.changes, l.bytes-o.bytes }

func (c *Change) load() load {
	if c.Message != nil {
		return load{1, c.Message.Size()}
	}
	return load{1, len(c.Topic)}
}

// keepPlaces is up to how many topics the map of places is used again.
const keepPlaces = 4096

// with returns what the queue would hold after push(c).
func (q *queue) with(c *Change) load {
	total := q.load
	if i, found := q.places[c.Topic]; found {
		total.sub(q.changes[i].load())
	}
	total.add(c.load())
	return total
}

// push adds a change, whose revision is higher than all before.
func (q *queue) push(c *Change) {
	next := queued{*c, c.Revision}
	if c.Op == Clear {
		*q = queue{} // nothing comes before it that could be durable earlier
	}
	if i, found := q.places[c.Topic]; found {
		old := &q.changes[i]
		next.oldest = old.oldest
		next.Durability = min(next.Durability, old.Durability)
		q.load.sub(old.load())
		*old = queued{}
	}
	if q.places == nil {
		q.places = make(map[string]int)
	}
	q.places[c.Topic] = len(q.changes)
	q.changes = append(q.changes, next)
	q.load.add(c.load())
	if len(q.changes) > 2*q.load.changes+64 {
		q.compact()
	}
}

// compact drops the changes whose place was taken.
func (q *queue) compact() {
	live := q.changes[:0]
	for _, c := range q.changes {
		if c.Op != 0 {
			q.places[c.Topic] = len(live)
			live = append(live, c)
		}
	}
	clear(q.changes[len(live):])
	q.changes = live
}

// take empties the queue into a batch.
func (q *queue) take() batch {
	if q.load.changes == 0 {
		return batch{}
	}
	q.compact()
	b := batch{q.changes}
	places := q.places
	if len(places) <= keepPlaces {
		clear(places)
	} else {
		places = nil
	}
	*q = queue{places: places}
	return b
}

// batch is what was taken from the queue at once. Nothing can take the place
// of its changes any more.
type batch struct {
	changes []queued
}

// chunk is a part of a batch: one call of the store.
type chunk struct {
	changes []Change
	load    load

	// durable is the highest revision up to which everything is durable once
	// the chunk and those before it are.
	durable uint64
}

// chunks cuts the batch at the bounds.
func (b batch) chunks(maxChanges, maxBytes int) []chunk {
	var all []chunk
	at := func(i int) *chunk { return &all[i] }
	for i := range b.changes {
		c := &b.changes[i]
		size := c.load()
		if n := len(all); n == 0 || at(n-1).load.changes >= maxChanges || at(n-1).load.bytes+size.bytes > maxBytes {
			all = append(all, chunk{})
		}
		last := at(len(all) - 1)
		last.changes = append(last.changes, c.Change)
		last.load.add(size)
		last.durable = c.Revision
	}
	// A chunk leaves out what a change behind it stands for.
	i, oldest := len(b.changes), ^uint64(0)
	for n := range slices.Backward(all) {
		at(n).durable = min(at(n).durable, oldest-1)
		for range at(n).changes {
			i--
			oldest = min(oldest, b.changes[i].oldest)
		}
	}
	return all
}
