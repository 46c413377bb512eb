package retain

import (
	"errors"
	"log/slog"
	"time"
)

// What a change can be refused with. Nothing has changed then.
var (
	// ErrQueueFull: the store does not keep up, or is away, and the queue has
	// reached one of its bounds.
	ErrQueueFull = errors.New("retained store queue is full")

	// ErrQuota: the message would be one more than Options.MaxMessages.
	ErrQuota = errors.New("too many retained messages")

	// ErrTooLarge: the message is larger than the store takes; see [Limiter].
	ErrTooLarge = errors.New("retained message is larger than its store takes")

	// ErrStopped: the writer has ended, so that nothing would be written.
	ErrStopped = errors.New("retained store writer has stopped")
)

// Options are the choices that an index is made with. The zero value is an
// index that lives in memory only.
type Options struct {
	// Store is where changes go. Nil means memory only.
	Store Store

	// WriteBehind makes [Index.Wait] return at once: a message is
	// acknowledged before the store has it, and a crash loses what was queued.
	WriteBehind bool

	// QueueChanges and QueueBytes bound what waits for the store, the batch
	// under way included; bytes count as [mqtt.Message.Size] does, and a
	// deletion as its topic. One change always fits. Zero means 65536 changes
	// and 64 MiB.
	QueueChanges int
	QueueBytes   int

	// BatchChanges and BatchBytes bound one call of Store.Apply; a batch has
	// at least one change. Zero means 512 changes and 1 MiB.
	BatchChanges int
	BatchBytes   int

	// MaxMessages is how many messages may be retained. Zero means no limit.
	MaxMessages int

	// DrainTimeout is how long [Index.Run] goes on writing once its context
	// is done. Zero means 10 seconds.
	DrainTimeout time.Duration

	// Logger is told when the store fails and when it is back, once each.
	// Nil means no log.
	Logger *slog.Logger

	// OnWriteError, if not nil, is called by the writer for every failed
	// attempt to write, to be counted. It must not block.
	OnWriteError func(error)
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *int
		zero  int
	}{
		{&o.QueueChanges, 65536},
		{&o.QueueBytes, 64 << 20},
		{&o.BatchChanges, 512},
		{&o.BatchBytes, 1 << 20},
	} {
		if *d.value <= 0 {
			*d.value = d.zero
		}
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
