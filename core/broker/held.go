package broker

// held are answers that may not be given before something is written that they
// promise, and those behind them. A reader goes on meanwhile.
type held struct {
	answers []byte
	marks   []mark
	next    uint64 // the position of the answer that is being appended
	armed   uint64 // the position that somebody is told of; 0 for none
}

// mark says that the answers up to end wait for a position.
type mark struct {
	position uint64
	end      int
}

// mark notes the answer that was appended last.
func (h *held) mark() {
	position := h.next
	h.next = 0
	last := len(h.marks) - 1
	switch {
	case position == 0:
	case last >= 0 && h.marks[last].position >= position:
		h.marks[last].end = len(h.answers)
	default:
		h.marks = append(h.marks, mark{position, len(h.answers)})
	}
}

// answerBuffer returns where to append an answer that waits for a position, to be
// followed by held.mark, and the position that await is to be called with. The
// caller holds mu.
func (w *writer) answerBuffer(position uint64) (to *[]byte, wait uint64) {
	h := &w.held
	if len(h.marks) == 0 && (position == 0 || position <= w.c.b.changes.Done()) {
		return &w.control, 0
	}
	if h.next = position; len(h.marks) > 0 {
		h.next = max(position, h.marks[len(h.marks)-1].position)
	}
	if h.armed == 0 {
		h.armed = h.next
		wait = h.armed
	}
	return &h.answers, wait
}

// release moves the answers that may go out to the others, and returns what await
// is to be called with. The caller holds mu.
func (w *writer) release() (wait uint64) {
	h := &w.held
	if len(h.marks) == 0 {
		return 0
	}
	done, n := w.c.b.changes.Done(), 0
	for n < len(h.marks) && h.marks[n].position <= done {
		n++
	}
	if n > 0 {
		w.take(n)
	}
	if h.armed <= done {
		h.armed = 0
	}
	if len(h.marks) == 0 || h.armed != 0 {
		return 0
	}
	h.armed = h.marks[0].position
	return h.armed
}

// take moves the answers up to the n-th mark. The caller holds mu.
func (w *writer) take(n int) {
	h := &w.held
	end := h.marks[n-1].end
	if !w.last { // nothing follows the last answer
		w.control = append(w.control, h.answers[:end]...)
	}
	if n == len(h.marks) {
		w.held = held{armed: h.armed}
		return
	}
	h.answers = h.answers[:copy(h.answers, h.answers[end:])]
	h.marks = h.marks[:copy(h.marks, h.marks[n:])]
	for i := range h.marks {
		h.marks[i].end -= end
	}
}

// await lets the writer start when a position is written; 0 does nothing.
func (w *writer) await(position uint64) {
	if position != 0 {
		w.c.b.changes.After(position, w.kick)
	}
}
