package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// draft is a new file that is to take the store's place.
type draft struct {
	path     string
	file     *handle
	placed   bool // it is the store's
	out      appender
	from     *handle // the file that it is made from
	messages []spot  // of from, up to start
	moved    []place // where they are in file, in the order of messages
	dead     []spot  // the tombstones of from, up to start
	start    int64
	upTo     int64 // from has been taken over up to here
	clears   int   // of the index at the beginning
}

// place is where a line is now; size 0 means that it is lost.
type place struct{ off, size int64 }

// copyMessages writes the lines of all messages. A line that cannot be read is
// an error, or is left out if tolerant.
func (d *draft) copyMessages(ctx context.Context, tolerant bool) error {
	sortSpots(d.messages)
	d.moved = make([]place, 0, len(d.messages))
	lines := lineReader{file: d.from, end: d.start}
	for i, sp := range d.messages {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		text, err := lines.read(sp.off, sp.size)
		if err != nil {
			if !tolerant {
				return err
			}
			d.moved = append(d.moved, place{})
			continue
		}
		off := d.out.position()
		appendAlone(&d.out.buf, text)
		d.moved = append(d.moved, place{off: off, size: d.out.position() - off})
		if err := d.out.flushIfLarge(); err != nil {
			return err
		}
	}
	return nil
}

// copyRest takes over what was written up to end since, byte by byte.
func (d *draft) copyRest(end int64) error {
	part := make([]byte, min(end-d.upTo, flushSize))
	for d.upTo < end {
		part = part[:min(int64(len(part)), end-d.upTo)]
		if n, err := d.from.ReadAt(part, d.upTo); n < len(part) {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
		d.out.buf.Write(part)
		d.upTo += int64(len(part))
		if err := d.out.flushIfLarge(); err != nil {
			return err
		}
	}
	return d.out.flush()
}

// appender writes a file from its beginning.
type appender struct {
	file File
	off  int64 // what was written
	buf  bytes.Buffer
}

// flushSize is how much an appender gathers.
const flushSize = 256 << 10

func (a *appender) position() int64 { return a.off + int64(a.buf.Len()) }

func (a *appender) flushIfLarge() error {
	if a.buf.Len() < flushSize {
		return nil
	}
	return a.flush()
}

func (a *appender) flush() error {
	if a.buf.Len() == 0 {
		return nil
	}
	n, err := a.file.WriteAt(a.buf.Bytes(), a.off)
	a.off += int64(n)
	a.buf.Reset()
	return err
}

// move follows the lines to where a draft has them, those after its beginning
// shift further. It returns how many messages are lost.
func (x *index) move(d *draft, shift int64) (lost int) {
	if x.clears == d.clears {
		for i, sp := range d.messages {
			if e := sp.entry; e.off != sp.off {
				e.shift(d.start, shift)
			} else {
				x.forget(e)
				e.off, e.size = d.moved[i].off, d.moved[i].size
				x.count(e)
			}
		}
		for _, sp := range d.dead {
			if e := sp.entry; e.off != sp.off {
				e.shift(d.start, shift)
			} else {
				x.remove(sp.topic, e)
			}
		}
	}
	for _, e := range x.fresh {
		e.shift(d.start, shift)
	}
	for _, p := range d.moved {
		if p.size == 0 {
			lost++
		}
	}
	if lost > 0 {
		x.removeLost()
	}
	return lost
}

func (e *entry) shift(start, by int64) {
	if e.off >= start {
		e.off += by
	}
}

func (x *index) removeLost() {
	for topic, e := range x.entries {
		if e.size == 0 {
			x.remove(topic, e)
		}
	}
}
