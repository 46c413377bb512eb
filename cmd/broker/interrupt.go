package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interruptible is the context of a command that leaves nothing behind when
// somebody presses Ctrl-C, ends it, or closes its terminal.
func interruptible() (ctx context.Context, stop context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}
