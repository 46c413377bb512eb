// Package tracing follows sampled publishes through the broker to their receivers,
// and sampled connections until they are made, and tells an OpenTelemetry
// collector of them.
//
// A [Tracer] is the broker's tracer and a watcher of its hooks at once: the one
// says when a publish begins and ends, the other what interceptors did with it
// in between. While nothing is followed neither does anything.
package tracing
