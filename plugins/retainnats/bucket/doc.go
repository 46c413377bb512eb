// Package bucket keeps retained messages in a key-value bucket of NATS
// JetStream; it is all of the plugin retainnats.
//
// Every topic has a key of its own, so that a change costs the same whether the
// bucket holds ten topics or a million, and changes that come together are one
// atomic batch of the server. The messages stay in the bucket; in memory is the
// revision of each key.
//
//	s, err := bucket.Open(ctx, bucket.Options{Config: config})
//	revision, err := s.Apply(ctx, changes)
//	err = s.Load(ctx, func(r pluginapi.Record) error { ... })
//	err = s.Close()
//
// The parts: [Store] with Apply, Load and Snapshot; connection, what is asked of
// NATS; index, what is known of each key; plan, what a batch of changes means
// for the bucket; key and value, the form of things there, which the plugin's
// README.md describes.
//
// One process writes a bucket. Every write says after which one it has to come,
// and whoever opens the bucket later takes it over: the one before learns that
// from its next write, and writes no more.
package bucket
