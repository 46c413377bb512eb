package logfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds what is taken for a line: the largest MQTT payload in base64
// with the longest strings is well below.
const maxLine = 512 << 20

// rawLine is a line as it is in the file.
type rawLine struct {
	off  int64
	size int64  // with the newline
	data []byte // without it; valid until the next line is read; nil if too long
	// whole says that the newline is there, nul that a byte is zero: space
	// of the file that was never written.
	whole, nul bool
}

// lineScanner reads a file line by line.
type lineScanner struct {
	r    *bufio.Reader
	off  int64
	long []byte
}

func newLineScanner(f io.ReaderAt, size int64) *lineScanner {
	return &lineScanner{r: bufio.NewReaderSize(io.NewSectionReader(f, 0, size), int(min(size, windowSize)))}
}

// next returns io.EOF after the last line.
func (s *lineScanner) next() (rawLine, error) {
	l := rawLine{off: s.off}
	s.long = s.long[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		l.size += int64(len(part))
		s.off += int64(len(part))
		l.nul = l.nul || bytes.IndexByte(part, 0) >= 0
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if l.size <= maxLine {
				s.long = append(s.long, part...)
			}
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return rawLine{}, err
		case l.size == 0:
			return rawLine{}, io.EOF
		case l.size > maxLine:
			l.whole = err == nil
			return l, nil
		}
		if len(s.long) > 0 {
			s.long = append(s.long, part...)
			part = s.long
		}
		l.whole = err == nil
		l.data = bytes.TrimSuffix(part, []byte("\n"))
		return l, nil
	}
}

// located is a good line that is not yet known to count.
type located struct {
	key
	off, size int64
}

// recovery reads a file as a crash, or worse, may have left it.
type recovery struct {
	index *index
	// end is where the last complete batch ends.
	end int64
	// headed says that the first line was a header.
	headed bool
	// damaged says that something in the middle cannot be read: what was read
	// was salvaged, and the file must not be used any more. lost counts the
	// lines that could not be read.
	damaged bool
	lost    int

	// tail holds good lines after end, all of one batch, and gap says that
	// there are bad ones too. unwritten says that they look like a write that
	// a crash cut short.
	tail      []located
	gap       bool
	bad       int
	unwritten bool
}

// errForeign: the file is not to be touched, for it may hold what somebody
// still needs.
var errForeign = errors.New("not a file that this version can read")

// recoverFile reads a file of the given size. The error is one of reading, or
// wraps errForeign.
func recoverFile(f io.ReaderAt, size int64) (*recovery, error) {
	r := &recovery{index: newIndex()}
	lines := newLineScanner(f, size)
	for {
		raw, err := lines.next()
		if errors.Is(err, io.EOF) {
			r.finish()
			return r, nil
		}
		if err != nil {
			return nil, err
		}
		if err := r.take(raw); err != nil {
			return nil, err
		}
	}
}

func (r *recovery) take(raw rawLine) error {
	good := raw.whole && raw.data != nil && intact(raw.data)
	if raw.off == 0 {
		return r.takeHeader(raw, good)
	}
	if !good {
		r.takeBad(raw)
		return nil
	}
	k, err := parseKey(raw.data)
	if err != nil {
		return fmt.Errorf("%w: line at offset %d has a right checksum and is not a record: %w", errForeign, raw.off, err)
	}
	l := located{key: k, off: raw.off, size: raw.size}
	switch {
	case l.Op == "" && !r.headed:
		return r.takeHeader(raw, good)
	case l.Op != opPut && l.Op != opDelete && l.Op != opClear:
		return fmt.Errorf("%w: line at offset %d has the unknown operation %q", errForeign, raw.off, l.Op)
	case l.Batch[1] <= 1:
		r.settle()
		r.apply(l)
	default:
		r.takePart(l)
	}
	return nil
}

func (r *recovery) takeHeader(raw rawLine, good bool) error {
	if !good {
		r.takeBad(raw)
		return nil
	}
	var h header
	if err := json.Unmarshal(raw.data, &h); err != nil || h.Format != formatName {
		return fmt.Errorf("%w: line at offset %d does not name the format %s", errForeign, raw.off, formatName)
	}
	if h.Schema < 1 || h.Schema > schemaVersion {
		return fmt.Errorf("%w: it has schema %d, known is %d; a newer version of the plugin wrote it", errForeign, h.Schema, schemaVersion)
	}
	r.settle() // something was before it
	r.headed = true
	r.index.revision, r.index.floor = max(h.Revision, r.index.revision), max(h.Floor, r.index.floor)
	r.end = raw.off + raw.size
	return nil
}

func (r *recovery) takeBad(raw rawLine) {
	r.gap = true
	r.bad++
	r.unwritten = r.unwritten || raw.nul || !raw.whole
}

// takePart takes a line of a batch of several, which counts once all of them
// are there.
func (r *recovery) takePart(l located) {
	i, n := l.Batch[0], l.Batch[1]
	before := 0
	if len(r.tail) > 0 {
		before = r.tail[len(r.tail)-1].Batch[0]
		if n != r.tail[0].Batch[1] || i <= before {
			r.settle()
			before = 0
		}
	}
	r.gap = r.gap || i != before+1
	r.tail = append(r.tail, l)
	if i < n || r.gap {
		return
	}
	for _, part := range r.tail {
		r.apply(part)
	}
	r.tail = r.tail[:0]
}

// settle is called when a good line follows that belongs to something else:
// what is unfinished is then not the end of the file but damage.
func (r *recovery) settle() {
	if len(r.tail) == 0 && !r.gap {
		return
	}
	for _, part := range r.tail {
		r.apply(part)
	}
	r.damaged = true
	r.lost += max(r.bad, 1)
	r.dropTail()
}

func (r *recovery) dropTail() {
	r.tail, r.gap, r.bad, r.unwritten = r.tail[:0], false, 0, false
}

// finish decides about what is left at the end: a write that a crash cut
// short is cut off, for nobody was told that it was stored. Whole lines that
// are unreadable were stored once and are more than that.
func (r *recovery) finish() {
	if r.gap && !r.unwritten {
		r.settle()
	}
	r.dropTail()
}

func (r *recovery) apply(l located) {
	r.index.record(&l.key, l.off, l.size)
	r.end = l.off + l.size
}
