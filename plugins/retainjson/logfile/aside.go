package logfile

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// setAside keeps a damaged file under another name and writes a new one with
// everything that could be read of it. It is called by Open.
func (s *Store) setAside(r *recovery, size int64) error {
	aside := s.options.Path + ".corrupt-" + s.options.Now().UTC().Format("20060102T150405.000Z")
	if err := s.copyFile(aside, s.file, size); err != nil {
		return fmt.Errorf("the file is damaged and cannot be kept as %s: %w", aside, err)
	}
	if err := s.rewrite(); err != nil {
		return err
	}
	s.status.setDamaged(fmt.Sprintf("%d lines of %s could not be read at start; the file is kept as %s",
		r.lost, s.options.Path, aside))
	s.log.Error("the file was damaged: what could be read was kept, the original is set aside",
		slog.String("file", s.options.Path), slog.String("original", aside),
		slog.Int("lines_lost", r.lost), slog.Int("messages", s.index.messages))
	return nil
}

// copyFile writes a durable copy of a file, all of it.
func (s *Store) copyFile(path string, from io.ReaderAt, size int64) (err error) {
	f, err := s.files.Open(path, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(from, 0, size)); err != nil {
		return err
	}
	return f.Sync()
}
