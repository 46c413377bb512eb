// Package program runs programs for the tests of this module: the broker as
// people start it, Debian's mosquitto to compare it with, and the clients that
// talk to both.
//
// What is missing on the machine fails a test with the name of the package to
// install; nothing is skipped and nothing is installed.
package program
