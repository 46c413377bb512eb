package logfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// importSuffix is followed by the time of an import in the name under which the
// imported file is kept.
const importSuffix = ".imported-"

// openFile opens the store's file. One that MQTTnet wrote is imported first.
func (s *Store) openFile() (File, int64, error) {
	f, size, err := s.openSized(s.options.Path)
	if err != nil {
		return nil, 0, err
	}
	array, err := isArray(f, size)
	if err == nil && !array {
		return f, size, nil
	}
	if err == nil {
		err = s.importArray(f, size)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, 0, err
	}
	// The file's new name is durable before anything is put behind it.
	if err := s.files.Rename(s.options.Path+rewriteSuffix, s.options.Path); err != nil {
		return nil, 0, err
	}
	if err := s.files.SyncDir(filepath.Dir(s.options.Path)); err != nil {
		return nil, 0, err
	}
	return s.openSized(s.options.Path)
}

func (s *Store) openSized(path string) (File, int64, error) {
	f, err := s.files.Open(path, os.O_CREATE)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

// isArray reports whether a file begins like a JSON array.
func isArray(f io.ReaderAt, size int64) (bool, error) {
	start := make([]byte, min(size, 512))
	if _, err := f.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	start = bytes.TrimLeft(bytes.TrimPrefix(start, []byte(byteOrderMark)), " \t\r\n")
	return bytes.HasPrefix(start, []byte("[")), nil
}

// importArray writes the messages of an array into a file beside it that is to
// take its place, and keeps a copy of it. A crash leaves the array where it is.
func (s *Store) importArray(f File, size int64) error {
	changes, skipped, err := readArray(io.NewSectionReader(f, 0, size), s.options.Now().UTC())
	if err != nil {
		var at *positionError
		if errors.As(err, &at) {
			line, column := position(f, at.offset)
			err = fmt.Errorf("line %d, column %d: %w", line, column, at.cause)
		}
		return fmt.Errorf("%w: it is a JSON array and not one of retained messages as MQTTnet's sample writes it: %w; it was not changed", errForeign, err)
	}
	if err := s.writeLog(s.options.Path+rewriteSuffix, changes); err != nil {
		return fmt.Errorf("write what is imported: %w", err)
	}
	aside := s.options.Path + importSuffix + s.options.Now().UTC().Format("20060102T150405.000Z") + ".json"
	if err := s.copyFile(aside, f, size); err != nil {
		return fmt.Errorf("the file cannot be kept as %s: %w", aside, err)
	}
	s.log.Info("retained messages of MQTTnet were imported, the original is kept", slog.String("file", s.options.Path),
		slog.String("original", aside), slog.Int("messages", len(changes)), slog.Int("without_payload", skipped))
	return nil
}

// writeLog writes a new file with these changes.
func (s *Store) writeLog(path string, changes []pluginapi.Change) (err error) {
	f, err := s.files.Open(path, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := appender{file: f}
	head := header{Format: formatName, Schema: schemaVersion, Written: s.options.Now().UTC()}
	if err := appendLine(&out.buf, head); err != nil {
		return err
	}
	for i := range changes {
		l, err := newLine(&changes[i])
		if err != nil {
			return err
		}
		if err := appendLine(&out.buf, l); err != nil {
			return err
		}
		if err := out.flushIfLarge(); err != nil {
			return err
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	return f.Sync()
}

// position is where in a text an offset is, both from 1; columns count bytes.
func position(f io.ReaderAt, offset int64) (line, column int) {
	text := make([]byte, offset)
	n, _ := f.ReadAt(text, 0)
	text = text[:n]
	return 1 + bytes.Count(text, []byte("\n")), len(text) - bytes.LastIndexByte(text, '\n')
}

// positionError says where in a file something is wrong.
type positionError struct {
	offset int64
	cause  error
}

// Error returns what is wrong, without the place.
func (e *positionError) Error() string { return e.cause.Error() }

// Unwrap returns it.
func (e *positionError) Unwrap() error { return e.cause }

// readArray reads all messages of an array, with revisions from 1. Of several
// with one topic the last counts, and those without a payload, which nothing
// retains, are only counted.
func readArray(r io.Reader, now time.Time) (changes []pluginapi.Change, skipped int, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, 0, err
	}
	mark := int64(len(text))
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	mark -= int64(len(text))
	dec := json.NewDecoder(bytes.NewReader(text))
	at := func(err error) error {
		offset := dec.InputOffset()
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			offset = syntax.Offset - 1
		} else if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			offset, err = int64(len(text)), errors.New("the file ends in the middle")
		}
		return &positionError{offset: mark + max(0, offset), cause: err}
	}
	if _, err := dec.Token(); err != nil {
		return nil, 0, at(err)
	}
	places := make(map[string]int)
	for dec.More() {
		start := dec.InputOffset()
		start += int64(len(text[start:])) - int64(len(bytes.TrimLeft(text[start:], ", \t\r\n")))
		var model retainedModel
		if err := dec.Decode(&model); err != nil {
			if _, isType := errors.AsType[*json.UnmarshalTypeError](err); !isType && !errors.Is(err, errModel) {
				return nil, 0, at(err)
			}
			return nil, 0, &positionError{offset: mark + start, cause: err}
		}
		m, err := model.message(now)
		if err != nil {
			return nil, 0, &positionError{offset: mark + start, cause: err}
		}
		if len(m.Payload) == 0 {
			skipped++
			continue
		}
		c := pluginapi.Change{Op: pluginapi.Put, Topic: m.Topic, Message: m}
		if i, twice := places[m.Topic]; twice {
			changes[i] = c
			continue
		}
		places[m.Topic] = len(changes)
		changes = append(changes, c)
	}
	if _, err := dec.Token(); err != nil {
		return nil, 0, at(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, 0, &positionError{offset: mark + dec.InputOffset(), cause: errors.New("something follows the array")}
	}
	for i := range changes {
		changes[i].Revision = uint64(i + 1)
	}
	return changes, skipped, nil
}
