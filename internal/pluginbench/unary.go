package pluginbench

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// unary measures calls that are made one after the other by so many callers.
// call makes one; n counts the calls of one caller.
func (b *bench) unary(r Row, call func(ctx context.Context, caller, n int) error) {
	r.Way = "unary"
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	for i := range 10 { // connections, caches and compilers get warm
		if call(ctx, 0, -1-i) != nil {
			break
		}
	}
	m := b.begin(r)
	end := m.began.Add(b.Duration)
	latencies := make([][]time.Duration, r.Callers)
	errs := make([]error, r.Callers)
	var calling sync.WaitGroup
	for caller := range r.Callers {
		calling.Go(func() {
			for n := 0; ; n++ {
				began := time.Now()
				if began.After(end) || ctx.Err() != nil {
					return
				}
				if err := call(ctx, caller, n); err != nil {
					errs[caller] = err
					cancel() // the numbers of the others are worth nothing
					return
				}
				latencies[caller] = append(latencies[caller], time.Since(began))
			}
		})
	}
	calling.Wait()
	var all []time.Duration
	var failed error
	for i := range latencies {
		all = append(all, latencies[i]...)
		// The others were cancelled because of the one that failed.
		if errs[i] != nil && (failed == nil || status.Code(failed) == codes.Canceled) {
			failed = errs[i]
		}
	}
	b.report(m.end(all, failed))
}
