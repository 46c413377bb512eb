//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReload relays the signal that asks for a reload.
func notifyReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
