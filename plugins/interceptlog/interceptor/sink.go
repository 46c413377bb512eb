package interceptor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
)

// sink is a file that is put aside when it is full. It is not for concurrent
// use.
type sink struct {
	path string
	max  int64
	keep int

	file *os.File // nil after a failure, until it can be opened again
	buf  *bufio.Writer
	size int64
}

// openSink opens a file for appending.
func openSink(path string, maxBytes int64, keep int) (*sink, error) {
	s := &sink{path: path, max: maxBytes, keep: keep}
	return s, s.open()
}

func (s *sink) open() error {
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.file, s.size = f, info.Size()
	if s.buf == nil {
		s.buf = bufio.NewWriterSize(f, 64<<10)
	} else {
		s.buf.Reset(f)
	}
	return nil
}

// Write takes one line. It reaches the file with flush at the latest.
func (s *sink) Write(line []byte) (int, error) {
	if s.file == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	if s.size > 0 && s.size+int64(len(line)) > s.max {
		if err := s.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := s.buf.Write(line)
	s.size += int64(n)
	if err != nil {
		s.giveUp()
	}
	return n, err
}

// flush writes what is left to the file.
func (s *sink) flush() error {
	if s.file == nil {
		return nil
	}
	err := s.buf.Flush()
	if err != nil {
		s.giveUp()
	}
	return err
}

// giveUp closes a file that failed, so that the next line tries it anew.
func (s *sink) giveUp() {
	_ = s.file.Close() // it has failed already
	s.file = nil
}

// rotate renames PATH to PATH.1, PATH.1 to PATH.2 and so on, and begins a new
// file.
func (s *sink) rotate() error {
	err := s.flush()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
		s.file = nil
	}
	if err != nil {
		return err
	}
	if s.keep == 0 {
		if err := os.Remove(s.path); err != nil {
			return err
		}
		return s.open()
	}
	for i := s.keep; i > 0; i-- {
		if err := os.Rename(s.numbered(i-1), s.numbered(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return s.open()
}

func (s *sink) numbered(i int) string {
	if i == 0 {
		return s.path
	}
	return fmt.Sprintf("%s.%d", s.path, i)
}

// close writes what is left and closes the file.
func (s *sink) close() error {
	err := s.flush()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
		s.file = nil
	}
	return err
}
