package logfile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Load yields all messages in the order in which they were stored last. It may
// be called at any time and sees the store as of the moment of the call.
func (s *Store) Load(ctx context.Context, yield func(pluginapi.Record) error) error {
	_, err := s.Snapshot(ctx, yield, nil)
	return err
}

// Snapshot yields all messages and, unless tombstone is nil, the deletions
// since the last compaction, as of the moment of the call. Changes go on
// meanwhile. The error is that of a callback, of ctx, or of reading.
func (s *Store) Snapshot(ctx context.Context, record func(pluginapi.Record) error,
	tombstone func(pluginapi.Tombstone) error,
) (uint64, error) {
	s.mu.Lock()
	if s.file == nil {
		s.mu.Unlock()
		return 0, errClosed
	}
	messages, dead := s.index.spots()
	revisions := make([]uint64, len(dead))
	for i, sp := range dead {
		revisions[i] = sp.entry.rev
	}
	revision := s.index.revision
	file, end := s.acquire(), s.end
	s.mu.Unlock()

	sortSpots(messages)
	err := readRecords(ctx, &lineReader{file: file, end: end}, messages, record)
	for i, sp := range dead {
		if err != nil || tombstone == nil {
			break
		}
		err = tombstone(pluginapi.Tombstone{Topic: sp.topic, Revision: revisions[i]})
	}
	if closed := s.drop(file); err == nil {
		err = closed
	}
	return revision, err
}

func readRecords(ctx context.Context, lines *lineReader, spots []spot, yield func(pluginapi.Record) error) error {
	for _, sp := range spots {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := lines.read(sp.off, sp.size)
		if err != nil {
			return err
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("line at offset %d: %w", sp.off, err)
		}
		if err := yield(pluginapi.Record{Message: l.message(), Revision: l.Rev}); err != nil {
			return err
		}
	}
	return nil
}

// lineReader reads lines at ascending offsets through a window.
type lineReader struct {
	file   io.ReaderAt
	end    int64 // nothing is read behind it
	window []byte
	off    int64 // of the window
}

// windowSize is how much is read at once.
const windowSize = 256 << 10

// read returns the line of size bytes at off without its newline, valid until
// the next call. A line whose checksum is wrong is an error.
func (r *lineReader) read(off, size int64) ([]byte, error) {
	if off < r.off || off+size > r.off+int64(len(r.window)) {
		if err := r.fill(off, size); err != nil {
			return nil, err
		}
	}
	text := bytes.TrimSuffix(r.window[off-r.off:off-r.off+size], []byte("\n"))
	if !intact(text) {
		return nil, fmt.Errorf("line at offset %d has a wrong checksum", off)
	}
	return text, nil
}

func (r *lineReader) fill(off, size int64) error {
	want := int(max(size, min(windowSize, r.end-off)))
	if cap(r.window) < want {
		r.window = make([]byte, want)
	}
	r.window = r.window[:want]
	n, err := r.file.ReadAt(r.window, off)
	r.off, r.window = off, r.window[:n]
	if int64(n) < size {
		return fmt.Errorf("read line at offset %d: %w", off, err)
	}
	return nil
}
