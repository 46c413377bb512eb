package main

import (
	"context"
	"errors"
	"fmt"
)

// mostInFlight bounds what waits for acknowledgements where the broker does not.
const mostInFlight = 1000

// outbox waits for the acknowledgements of messages, in the order in which they
// were sent, while further ones are being sent.
type outbox struct {
	slots chan struct{} // holds one for each message that waits
	sent  chan (<-chan error)
	done  chan error // has what came of it all
}

// newOutbox begins to wait. When something ends it all, stop is called, and what
// was sent is still waited for.
func (cmd *pubCmd) newOutbox(t *terminal, c mqttClient, stop context.CancelFunc) *outbox {
	window := min(c.window(), mostInFlight)
	if cmd.InFlight > 0 {
		window = min(cmd.InFlight, c.window())
	}
	b := &outbox{slots: make(chan struct{}, window), sent: make(chan (<-chan error), window), done: make(chan error, 1)}
	go func() {
		var refused, fatal error
		for answer := range b.sent {
			err := <-answer
			<-b.slots
			if fatal != nil || err == nil || errors.Is(err, context.Canceled) {
				continue
			}
			if cmd.goesOn(t, c, err) {
				refused = err
				continue
			}
			fatal = err
			stop()
		}
		if fatal == nil {
			fatal = refused
		}
		b.done <- fatal
	}()
	return b
}

// reserve waits until one more message may be sent; false if ctx ends before.
func (b *outbox) reserve(ctx context.Context) bool {
	select {
	case b.slots <- struct{}{}:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// add hands over a message that is on its way, for which there is a slot.
func (b *outbox) add(sent <-chan error) { b.sent <- sent }

// close waits for the last acknowledgement. The error is what ended it all, or the
// last refusal.
func (b *outbox) close() error {
	close(b.sent)
	return <-b.done
}

// goesOn says that a message was refused, and whether others may be sent.
func (cmd *pubCmd) goesOn(t *terminal, c mqttClient, err error) bool {
	var status *statusError
	if !errors.As(err, &status) || status.status < 0x80 {
		return false
	}
	if !cmd.Quiet && (cmd.Lines || cmd.Repeat != 1) {
		fmt.Fprintf(t.err, "broker: %v\n", err)
	}
	return !gone(c)
}
