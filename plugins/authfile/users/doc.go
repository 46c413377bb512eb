// Package users reads the users file of the authfile plugin: who may log in
// with which password, under which client identifiers, and what they may then
// publish and subscribe to.
//
// [Load] and [Parse] turn the file into a [Set] or into an [*Error], which
// holds every problem with its line, its column and an excerpt. There is
// nothing in between: a file with one bad line gives no set at all, so that a
// mistake can neither lock some users out nor lose a rule that denies.
//
// The package does no hashing and knows no connection; it starts nothing and
// keeps no state. A Set is never changed once made and may be used by many
// goroutines at once. What the file looks like is told in the plugin's README.
package users
