package pluginhost

// settle hands out the answers of one message. An error means that the plugin
// has lost count; nothing that it says on this stream can be believed then.
func (c *coalescer) settle(r *reply) error {
	c.mu.Lock()
	err := c.settleAll(r)
	c.retire()
	wake := c.wakes()
	c.mu.Unlock()
	if wake {
		c.signal()
	}
	return err
}

func (c *coalescer) settleAll(r *reply) error {
	for _, p := range r.passed {
		if err := c.answer(p.first, uint64(p.count), nil); err != nil {
			return err
		}
	}
	for _, v := range r.verdicts {
		if err := c.answer(v.seq, 1, v.verdict); err != nil {
			return err
		}
	}
	return nil
}

// answer gives count calls from first on a verdict. mu is held.
func (c *coalescer) answer(first, count uint64, v *verdict) error {
	a := &c.frames
	if first == 0 || first >= a.next || count > a.next-first {
		return illegal("an answer to call %d, which was not made", first+max(count, 1)-1)
	}
	for seq, end := first, first+count; seq < end; {
		f := a.findLive(seq)
		if f == nil {
			n := a.lateAnswer(seq, end)
			if n == 0 {
				return illegal("a second answer to call %d", seq)
			}
			c.stats.late.Add(n)
			seq += n
			continue
		}
		to := min(end, f.first+uint64(f.n))
		if !f.answered.mark(int(seq-f.first), int(to-f.first)) {
			return illegal("a second answer to call %d", seq)
		}
		for ; seq < to; seq++ {
			c.deliver(f, int(seq-f.first), v)
		}
	}
	return nil
}

// deliver gives one call its verdict; nobody may wait for it any more. mu is
// held.
func (c *coalescer) deliver(f *frame, i int, v *verdict) {
	s := &f.slots[i]
	g := s.group
	if g == nil {
		c.stats.late.Add(1)
		return
	}
	s.group = nil
	f.waiting--
	g.items[s.item].verdict = v
	if g.open--; g.open == 0 {
		c.finish(g, nil)
	}
}
