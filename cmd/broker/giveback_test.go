package main

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var idle atomic.Int64
		var at []int64
		go giveBack(ctx, func() int { return int(idle.Load()) }, func() { at = append(at, idle.Load()) })
		for _, n := range []int64{
			500, 500, 500, // not worth it
			3000, 6000, 9000, 9000, 9000, // once it grows no more
			9900, 9900, 9900, // not much more
			11500, 11500, // a quarter more
			100, 100, 2000, 2000, // others
		} {
			idle.Store(n)
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		if want := []int64{9000, 11500, 2000}; !slices.Equal(at, want) {
			t.Errorf("memory was given back at %v idle connections, want %v", at, want)
		}
	})
}
