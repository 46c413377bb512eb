// Package peer runs brokers as processes, one at a time, for a benchmark to
// compare: it builds or finds them, starts them on a free port, waits until
// they accept connections, and reads what they use. It runs on Linux only.
package peer
