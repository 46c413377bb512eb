package pluginapi

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// capture makes lines of the log of what is printed to a file.
type capture struct {
	w    *os.File // what is printed to; nil if it is not open
	done chan struct{}
}

// open starts the reader, which ends with close.
func (c *capture) open(log *slog.Logger) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	c.w, c.done = w, make(chan struct{})
	go func() {
		defer close(c.done)
		defer func() { _ = r.Close() }()
		logLines(r, log)
	}()
	return nil
}

// close waits for what was printed. A child process may still have the file
// open, so that it does not wait for long.
func (c *capture) close() {
	if c.w == nil {
		return
	}
	_ = c.w.Close()
	select {
	case <-c.done:
	case <-time.After(lastAnswers):
	}
}

// logLines logs each line, a very long one in pieces.
func logLines(r io.Reader, log *slog.Logger) {
	lines := bufio.NewReaderSize(r, 16<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			log.Info(text, slog.String("stream", "stdout")) //nolint:sloglint // what was printed is the message
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}
