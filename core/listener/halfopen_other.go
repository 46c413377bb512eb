//go:build !linux

package listener

import (
	"syscall"
	"time"
)

func setUserTimeout(syscall.Conn, time.Duration) {}
