package packet

import (
	"io"
	"sync"
)

// idleSize is what a decoder reads into while it has no buffer. It is a part
// of the decoder, so that a connection which is blocked in a Read, and sends
// acknowledgements and pings at most, holds nothing else.
const idleSize = 128

// The sizes of the buffers that connections take turns in. What does not fit
// into the largest gets a buffer of its own, which is not kept.
var (
	poolSizes = [...]int{4 << 10, 16 << 10, 64 << 10}
	pools     [len(poolSizes)]sync.Pool
)

// maxEmptyReads is how many Reads in a row may bring neither bytes nor an error.
const maxEmptyReads = 100

// buffer holds the bytes between a connection and its packets. Its size
// follows the traffic: a Read that fills it gets a larger one next time, a
// Read that would have fitted into a smaller one gets that.
type buffer struct {
	idle   [idleSize]byte
	mem    []byte  // where bytes are: idle, *pooled, memory of its own, or nil
	pooled *[]byte // what must go back to a pool, or nil
	r, w   int     // mem[r:w] was read and not yet decoded
	want   int     // the size for the next Read if nothing is held
	empty  int     // empty Reads in a row
}

func (b *buffer) bytes() []byte { return b.mem[b.r:b.w] }

// fill reads once. need is the size of the packet whose first bytes are held,
// zero if unknown.
func (b *buffer) fill(r io.Reader, need int) error {
	space := b.space(need)
	n, err := r.Read(space)
	b.w += n
	switch {
	case n == len(space):
		b.want = sizeAbove(len(b.mem))
	case b.w-b.r < len(b.mem)/4:
		b.want = sizeAbove(b.w - b.r)
	}
	if n > 0 || err != nil {
		b.empty = 0
		return err
	}
	b.empty++
	if b.empty >= maxEmptyReads {
		return io.ErrNoProgress
	}
	return nil
}

// space returns where to read to, which is never empty.
func (b *buffer) space(need int) []byte {
	held := b.w - b.r
	if held == 0 {
		b.r, b.w = 0, 0
		if want := max(b.want, idleSize); len(b.mem) != want {
			b.replace(want)
		}
		return b.mem
	}
	if b.want > len(b.mem) {
		b.replace(b.want)
	}
	if b.r > 0 && len(b.mem)-b.w < len(b.mem)/2 {
		copy(b.mem, b.bytes())
		b.r, b.w = 0, held
	}
	if b.w == len(b.mem) {
		b.replace(b.grown(need))
	}
	return b.mem[b.w:]
}

// grown is the size that follows when the buffer is full of one packet's
// beginning: the next one that is pooled, then twice as much, but not more
// than the packet needs. It never depends on need alone, for that is what the
// peer said and not what it sent.
func (b *buffer) grown(need int) int {
	last := poolSizes[len(poolSizes)-1]
	if len(b.mem) < last {
		return sizeAbove(len(b.mem))
	}
	return min(2*len(b.mem), max(need, len(b.mem)+idleSize))
}

// replace takes a buffer of the given size and moves what is held into it.
func (b *buffer) replace(size int) {
	var mem []byte
	var pooled *[]byte
	if size == idleSize {
		mem = b.idle[:]
	} else {
		mem, pooled = takeBuffer(size)
	}
	n := copy(mem, b.bytes())
	b.giveBack()
	b.mem, b.pooled, b.r, b.w = mem, pooled, 0, n
}

// release gives the memory back if nothing is held.
func (b *buffer) release() {
	if b.r == b.w {
		b.giveBack()
		b.mem, b.r, b.w = nil, 0, 0
	}
}

func (b *buffer) giveBack() {
	if b.pooled == nil {
		return
	}
	for i, size := range poolSizes {
		if len(*b.pooled) == size {
			pools[i].Put(b.pooled)
		}
	}
	b.pooled = nil
}

// takeBuffer returns memory of the given size, and how to give it back, which
// is nil for sizes that are not pooled.
func takeBuffer(size int) (mem []byte, pooled *[]byte) {
	for i, s := range poolSizes {
		if s != size {
			continue
		}
		if p, ok := pools[i].Get().(*[]byte); ok {
			return *p, p
		}
		mem = make([]byte, size)
		return mem, &mem
	}
	return make([]byte, size), nil
}

// sizeAbove is the smallest of our sizes that is larger than n, or the
// largest.
func sizeAbove(n int) int {
	if n < idleSize {
		return idleSize
	}
	for _, s := range poolSizes {
		if n < s {
			return s
		}
	}
	return poolSizes[len(poolSizes)-1]
}
