package conformance

import (
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// tryAll asks about all variants, a few at a time; ask returns what is wrong.
func (c *check) tryAll(all []variant, ask func(proto.Message) error) {
	const atOnce = 4
	wrong := make([]error, len(all))
	next := make(chan int)
	var failures atomic.Int64
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range next {
				if wrong[i] = ask(all[i].m); wrong[i] != nil {
					failures.Add(1)
				}
			}
		})
	}
	for i := range all {
		if c.process.dead() || failures.Load() >= 3 {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
	for i, err := range wrong {
		if err != nil && !c.enough() {
			c.failf("%v, with %s", err, all[i].what)
		}
	}
}

// survived judges the answer to a request that makes no sense: any answer will
// do, but not none.
func (c *check) survived(what string, err error) {
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Unavailable:
		if !c.enough() {
			c.failf("does not answer (%s), with %s", rpcError(err), what)
		}
	}
}
