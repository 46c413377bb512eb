// Package lifeline tells a process when the one that started it is gone, however
// it went.
//
// There are two ways, because neither works everywhere. A pipe whose write end
// only the parent has gets to its end when the parent dies; it needs a parent
// that made one and a system that passes open files on. The parent's process id
// changes when it dies; it has to be polled, and Windows does not change it.
package lifeline

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// poll is how often the parent's process id is looked at.
const poll = time.Second

// Watch waits until the parent is gone and returns why it thinks so, or "" when
// ctx ended first. fd is the number of the pipe's read end as the parent wrote
// it into the environment, "" for none. parent is the process id of the parent
// at the start, 0 to not look at it. problem is told if the pipe can't be used.
func Watch(ctx context.Context, fd string, parent int, problem func(error)) string {
	ended := make(chan struct{})
	if fd != "" {
		pipe, err := open(fd)
		if err != nil {
			problem(err)
		} else {
			// Closing it also ends a read that waits, so that the reader never
			// outlives this call.
			defer func() {
				_ = pipe.Close()
				<-ended
			}()
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, pipe)
			}()
		}
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-ended:
			return "the lifeline has ended"
		case <-tick.C:
			if now := os.Getppid(); parent != 0 && now != parent {
				return fmt.Sprintf("the parent process is now %d, no longer %d", now, parent)
			}
		}
	}
}

// open opens the pipe by its number.
func open(fd string) (*os.File, error) {
	n, err := strconv.Atoi(fd)
	if err != nil || n < 3 {
		return nil, fmt.Errorf("lifeline %q is not the number of a file", fd)
	}
	f, err := file(uintptr(n))
	if err != nil {
		return nil, fmt.Errorf("lifeline %d: %w", n, err)
	}
	return f, nil
}
