// Package retain keeps the retained messages of a broker: an index in memory
// that answers every question about them, and an ordered writer that carries
// each change to a [Store].
//
//	x := retain.New(retain.Options{Store: store})
//	err := x.Load(ctx)               // before listeners open
//	go x.Run(ctx)                    // the writer; the caller waits for it
//	revision, err := x.Set(message, now)
//	err = x.Wait(ctx, revision)      // then the publisher may be acknowledged
//
// Every change gets a revision, one higher than the last, under which the store
// gets it. Changes reach the store in that order, gathered into batches while
// the store is busy with the batch before. A change is visible to [Index.Get]
// and [Index.Match] at once and durable when [Index.Wait] says so; several
// changes of one topic that wait for the store together are written as the last
// of them, which makes the earlier ones as durable as they can become.
//
// While the store is away the writer tries again for ever, and changes gather up to
// the bounds in [Options]; beyond them [Index.Set] answers [ErrQueueFull].
package retain
