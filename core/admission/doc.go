// Package admission decides how many may come in, and how fast: connections in
// all and by address, work that is done at once, names that come again and
// again.
//
// It knows no network and no protocol. Whatever it remembers of strangers is
// bounded. Limits may change at any time; all types may be used by many
// goroutines. Times are of the monotonic clock.
package admission
