// Package listener opens the broker's network addresses: each URL gives a
// [Listener], which is a net.Listener with a name.
//
// What happens on a connection is no business of this package.
package listener
