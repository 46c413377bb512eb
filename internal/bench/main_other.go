//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it needs Linux: epoll makes the load and /proc tells what a broker used")
	os.Exit(1)
}
