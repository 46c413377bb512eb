package main

import (
	"context"
	"runtime/debug"
	"time"
)

// giveBack has the memory returned to the system that many connections needed
// to get where they are, and do not need to stay there: the stacks of their
// readers above all, as much again as they keep. The collector would do it too,
// but where little happens its turn comes minutes later.
//
// It calls free whenever the number of idle connections has grown by a good part
// since the last time, and does not grow at the moment. It returns when ctx ends.
func giveBack(ctx context.Context, idle func() int, free func()) {
	const (
		every = 2 * time.Second
		many  = 1000 // fewer are not worth a collection
	)
	tick := time.NewTicker(every)
	defer tick.Stop()
	given, before := 0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n := idle()
		grows := n > before+before/50
		if given = min(given, n); !grows && n-given >= max(many, given/4) {
			free()
			given = n
		}
		before = n
	}
}

// freeMemory collects garbage and returns what is free to the system.
func freeMemory() { debug.FreeOSMemory() }
