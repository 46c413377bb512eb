// Package load makes MQTT traffic for benchmarks: one thread, one epoll loop,
// raw sockets and packets that were encoded beforehand, so that a broker on
// the next core is what a run measures. It speaks MQTT 3.1.1, checks what
// arrives for loss, repetition and order, and runs on Linux only.
//
// Everything of a [Loop] belongs to the goroutine that made it.
package load
