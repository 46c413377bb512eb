// Package differential leads the same random legal dialogue with Debian's
// mosquitto and with our broker, and compares what the clients are sent.
//
// The dialogue is a list of steps. After each the clients of both brokers are
// brought to rest, so that what a step causes can be told from what the next
// one does, and both sides' events are normalised and compared. A difference
// is either one of those that DIFFERENCES.md explains, or it fails the test.
package differential
