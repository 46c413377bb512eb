// Package store keeps sessions on disk, and retained messages if nobody else
// does: it writes the changes that a [session.Log] gathers, in order, into an
// embedded key-value store (pebble), and gives the sessions back at the next start.
//
//	s, err := store.Open(dir, store.Options{Logger: log})
//	for state, err := range s.Load(ctx) { ... } // the sessions of the last run
//	go s.Run(ctx)                               // until ctx ends: writes s.Log()
//
// # Writing
//
// One goroutine takes everything that was gathered, makes one batch of it, writes
// it, and says so to the log; meanwhile the next batch gathers. So one sync serves
// everybody who waits, and there is no timer. A message that was queued and
// acknowledged within one batch never reaches the disk.
//
// A batch is written to the file of the write-ahead log before it counts as
// written, so that a killed broker loses nothing. The file is synced first if
// something in the batch was promised with that durability, else a moment later,
// or never; see [session.Durability].
//
// Changes of retained messages come from an index of their own, by
// [Retained.Apply], and go into the next batch: beside what sessions tell, not in
// one group with it.
//
// # Format
//
// All keys of one session begin with its number, so that it ends with one range
// deletion, and its messages are read in their order. A message that is in one
// queue is part of that queue's record; one that is in several is stored once,
// and its references are counted in memory, and counted again at every start.
// Records carry no checksum of their own: pebble checks every block and every
// record of its log.
package store
