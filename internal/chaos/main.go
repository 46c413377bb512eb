//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

// options are what a run is made of.
type options struct {
	broker, plugins string
	durability      string
	memory          string // of a queue, as the configuration has it
	retained        string
	full            bool
	faults          bool
	kills           int
	between         int // acknowledged messages between two kills of the broker
	publishers      int
	rate            int // messages per second of all publishers
	seed            uint64
	within          time.Duration
	soak            time.Duration // not zero: the broker is left alive for so long
}

func main() {
	var o options
	flag.StringVar(&o.broker, "broker", "bin/broker-faults", "the broker")
	flag.StringVar(&o.plugins, "plugins", "bin/plugins", "its plugins")
	flag.StringVar(&o.durability, "durability", "sync", "sync, interval or none")
	flag.StringVar(&o.memory, "queue-memory", "1MiB", "how much of a queue is in memory; little of it makes the rest be on disk only")
	flag.StringVar(&o.retained, "retained", "retainjson", "what keeps retained messages: retainjson or disk")
	flag.BoolVar(&o.full, "full", false, "have a small disk that is full now and then; takes root")
	flag.BoolVar(&o.faults, "faults", true, "damage the store between kills, and let its disk fail and be slow; the broker has to be built with the tag faults")
	flag.IntVar(&o.kills, "kills", 1000, "how often the broker is killed")
	flag.IntVar(&o.between, "between", 100, "acknowledged messages between two kills of the broker, at least")
	flag.IntVar(&o.publishers, "publishers", 6, "publishers")
	flag.IntVar(&o.rate, "rate", 1500, "messages a second that all publishers send together")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64(), //nolint:gosec // any will do
		"what to kill, and when")
	flag.DurationVar(&o.soak, "soak", 0, "leave the broker alive for so long, break only clients and plugins, and see that its memory stays flat")
	flag.DurationVar(&o.within, "within", time.Hour, "the time that a run may take")
	flag.Parse()
	if o.within = max(o.within, 2*o.soak); o.soak > 0 {
		o.kills, o.faults = 0, false
	}
	os.Exit(perform(&o))
}

// perform makes one run and returns the exit status.
func perform(o *options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	fmt.Printf("seed=%d folder=%s\n", o.seed, dir)
	r, err := newRun(o, dir)
	if err == nil {
		err = r.do(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		fmt.Fprintln(os.Stderr, "chaos: the broker's log is", filepath.Join(dir, "broker.log"))
		return 1
	}
	r.disk.unmount()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	return 0
}
