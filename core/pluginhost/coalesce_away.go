package pluginhost

import "slices"

// maxOverdueFrames bounds what is remembered of frames whose callers have all
// gone without an answer. A plugin that answers even later than so many frames
// can't be told from one that answers twice, and is believed to be slow.
const maxOverdueFrames = 1024

// awayFrames are the frames of one stream that are not answered in full. The
// coalescer's mutex guards it.
type awayFrames struct {
	next      uint64         // number of the next call; the first is 1
	live      []*frame       // somebody waits for each of them
	overdue   []overdueFrame // by number
	forgotten uint64         // calls with numbers below it may be overdue too
	spare     []*frame       // for reuse
}

// reset is called when a stream begins.
func (a *awayFrames) reset() {
	*a = awayFrames{next: 1, overdue: a.overdue[:0], live: a.live[:0], spare: a.spare}
}

// add registers a frame that is about to be sent. Callers that have gone
// meanwhile are left out.
func (a *awayFrames) add(pieces []piece) {
	f := a.newFrame()
	f.first = a.next
	for _, p := range pieces {
		for i := p.from; i < p.to; i++ {
			s := &f.slots[f.n]
			if *s = (slotRef{p.group, i}); p.group.finished {
				s.group = nil
			} else {
				f.waiting++
			}
			f.n++
		}
	}
	a.next += uint64(f.n)
	a.live = append(a.live, f)
}

func (a *awayFrames) newFrame() *frame {
	last := len(a.spare) - 1
	if last < 0 {
		return new(frame)
	}
	f := a.spare[last]
	a.spare = a.spare[:last]
	return f
}

func (a *awayFrames) recycle(f *frame) {
	clear(f.slots[:f.n])
	f.first, f.n, f.answered, f.waiting = 0, 0, frameBits{}, 0
	if len(a.spare) < maxFramesAway {
		a.spare = append(a.spare, f)
	}
}

// leave takes a caller out of the frames that hold its calls.
func (a *awayFrames) leave(g *group) {
	for _, f := range a.live {
		for i := range f.n {
			if f.slots[i].group == g {
				f.slots[i].group = nil
				f.waiting--
			}
		}
	}
}

// retire removes the frames that nobody waits for and returns how many.
func (a *awayFrames) retire() int {
	before := len(a.live)
	a.live = slices.DeleteFunc(a.live, func(f *frame) bool {
		if f.waiting > 0 {
			return false
		}
		if !f.answered.all(f.n) {
			a.remember(overdueFrame{f.first, f.n, f.answered})
		}
		a.recycle(f)
		return true
	})
	return before - len(a.live)
}

func (a *awayFrames) remember(o overdueFrame) {
	if len(a.overdue) >= maxOverdueFrames {
		half := a.overdue[:len(a.overdue)/2]
		last := half[len(half)-1]
		a.forgotten = last.first + uint64(last.n)
		a.overdue = append(a.overdue[:0], a.overdue[len(half):]...)
	}
	i, _ := slices.BinarySearchFunc(a.overdue, o.first, compareOverdue)
	a.overdue = slices.Insert(a.overdue, i, o)
}

func compareOverdue(o overdueFrame, seq uint64) int {
	switch {
	case seq < o.first:
		return 1
	case seq >= o.first+uint64(o.n):
		return -1
	default:
		return 0
	}
}

// findLive returns the frame that holds the call, or nil.
func (a *awayFrames) findLive(seq uint64) *frame {
	for _, f := range a.live {
		if seq-f.first < uint64(f.n) { // wraps for a smaller seq
			return f
		}
	}
	return nil
}

// lateAnswer takes note of answers to calls that nobody waits for: those from
// seq on, up to end. It returns how many of them it could account for; 0 means
// that the first has been answered before.
func (a *awayFrames) lateAnswer(seq, end uint64) uint64 {
	i, found := slices.BinarySearchFunc(a.overdue, seq, compareOverdue)
	if !found {
		if seq < a.forgotten {
			return min(end, a.forgotten) - seq
		}
		return 0
	}
	o := &a.overdue[i]
	from, to := int(seq-o.first), int(min(end-o.first, uint64(o.n)))
	if !o.answered.mark(from, to) {
		return 0
	}
	if o.answered.all(o.n) {
		a.overdue = slices.Delete(a.overdue, i, i+1)
	}
	return uint64(to - from)
}
