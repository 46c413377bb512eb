package pluginhost

import "bytes"

// maxLine is the longest line of output that is looked at, in bytes. What a
// line has beyond it is counted and thrown away. It is below the limit of the
// scanner that go-plugin reads the handshake with.
const maxLine = 64<<10 - 1

// lineWriter cuts a byte stream into lines. emit gets each line without its
// end and the number of bytes that were cut off; the slice is only valid
// during the call. It is not for concurrent use.
type lineWriter struct {
	emit func(line []byte, cut int)
	part []byte // a line whose end has not come yet, at most maxLine bytes
	cut  int
}

// Write takes the next piece of the stream. It never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			w.keep(p)
			break
		}
		if len(w.part) == 0 && w.cut == 0 && end <= maxLine {
			w.emit(trimReturn(p[:end]), 0)
		} else {
			w.keep(p[:end])
			w.flush()
		}
		p = p[end+1:]
	}
	return n, nil
}

// flush emits a last line that has no end.
func (w *lineWriter) flush() {
	if len(w.part) > 0 || w.cut > 0 {
		w.emit(trimReturn(w.part), w.cut)
	}
	w.part, w.cut = w.part[:0], 0
}

func (w *lineWriter) keep(p []byte) {
	room := min(maxLine-len(w.part), len(p))
	w.part = append(w.part, p[:room]...)
	w.cut += len(p) - room
}

func trimReturn(line []byte) []byte { return bytes.TrimSuffix(line, []byte{'\r'}) }
