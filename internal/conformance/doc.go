// Package conformance holds the tests that compare the broker with the
// specifications through a socket: the normative statements, bad input, and the
// table in docs/protocol.md that ties every statement to its proof.
package conformance
