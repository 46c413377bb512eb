// Package broker composes the parts of an MQTT broker: it accepts connections,
// reads packets, asks the hooks, keeps retained messages, routes, and writes.
//
// An embedder needs this package, package hook for rules in plain Go, and a
// listener:
//
//	hooks := hook.NewHooks(logger)
//	b := broker.New(broker.Options{Logger: logger, Hooks: hooks})
//	go b.Run(ctx)
//	err := b.Serve(ctx, l)
//
// A connection has one goroutine that reads and, only while there is something
// to write, one that writes. The reader takes everything that one read brought
// through decoding, grants, hooks, retained store, routing and acknowledgement
// before it reads again: order per publisher and back-pressure need no further
// means. See docs/architecture.md for the whole path.
package broker
