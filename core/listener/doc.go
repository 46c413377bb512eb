// Package listener opens the broker's network addresses: each URL gives a
// [Listener], which is a net.Listener with a name.
//
// A connection comes out of Accept when MQTT can be spoken on it: a PROXY
// protocol header, TLS and the upgrade to a WebSocket are behind it. That is
// done beside the accept loop, within a time, for a bounded number of
// connections at once, of which the oldest gives way to a newer one; so nobody
// who is slow or hostile holds anybody else. What was learnt on the way is asked
// with [Describe]. A plain TCP or Unix connection is what the operating system
// gave, with nothing around it.
//
// What else happens on a connection is no business of this package.
package listener
