package pluginhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"
)

// maxDescription bounds the manifest that a program prints, in bytes.
const maxDescription = 1 << 20

// describe runs "program describe" in an empty environment and returns what it
// prints. The program has passed the checks of [trusted].
func describe(ctx context.Context, program string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "describe")
	cmd.Env = []string{}
	alone(cmd)
	// For a child of the program that holds its output. A busy machine takes a
	// while to hand over what was printed, and half of it is no manifest.
	cmd.WaitDelay = 2 * time.Second
	var out, errs bounded
	out.room, errs.room = maxDescription, 4<<10
	cmd.Stdout, cmd.Stderr = &out, &errs

	// The death signal of Linux is bound to this thread.
	runtime.LockOSThread()
	err := cmd.Run()
	runtime.UnlockOSThread()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%q did not end within %v", "describe", limit)
	case out.full:
		return nil, fmt.Errorf("%q printed more than %d bytes", "describe", maxDescription)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		if said := clean(string(bytes.TrimSpace(errs.Bytes())), 300); said != "" {
			return nil, fmt.Errorf("%q failed: %w, saying %q", "describe", err, said)
		}
		return nil, fmt.Errorf("%q failed: %w", "describe", err)
	}
	return out.Bytes(), nil
}

// bounded keeps the first room bytes that are written to it.
type bounded struct {
	bytes.Buffer
	room int
	full bool // there was more
}

// Write never fails, so that the program never waits.
func (b *bounded) Write(p []byte) (int, error) {
	keep := min(len(p), b.room-b.Len())
	b.full = b.full || keep < len(p)
	b.Buffer.Write(p[:keep])
	return len(p), nil
}
