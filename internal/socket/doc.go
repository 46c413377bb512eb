// Package socket reads and writes sockets without a word to Go's scheduler.
//
// A socket of package net never blocks in the kernel, but every read and write of
// it tells the scheduler that it might. Where a processor is shared with another
// process, such as a plugin, the runtime's monitor then takes reads and writes that
// were merely interrupted for blocked ones: it wakes every few dozen microseconds,
// and hands the goroutines to another thread each time. docs/performance.md has
// figures.
//
// It is about TCP and Unix sockets on Linux; all others, and all under the race
// detector, which learns of what happened before from package net, are read and
// written as ever.
package socket
