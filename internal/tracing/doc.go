// Package tracing follows sampled publishes through the broker and tells an
// OpenTelemetry collector of them.
//
// A [Tracer] is the broker's tracer and a watcher of its hooks at once: the one
// says when a publish begins and ends, the other what interceptors did with it
// in between. While no publish is followed neither does anything.
package tracing
