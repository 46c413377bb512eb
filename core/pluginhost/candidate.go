package pluginhost

import (
	"context"
	"fmt"
)

// candidate is an attempt to get from a plugin's files to an instance.
type candidate struct {
	*start
	verifier *verifier // that read them
	looks    looks     // at the files before anything was read of them
	failure  *Failure
	worker   worker // once it was launched, without a failure
}

// inspect reads and checks the files. It starts nothing but "PROGRAM describe".
func (s *supervisor) inspect(ctx context.Context, v *verifier) *candidate {
	c := &candidate{verifier: v, looks: v.look()}
	files, err := v.verify(ctx)
	c.start = &start{found: v.found, verified: files, log: s.log, out: newOutput(s.log, s.now)}
	if err != nil {
		c.failure = c.fail(s.now(), KindRefused, err.Error(), "")
	}
	return c
}

// prove launches a candidate and makes sure that it can work.
func (s *supervisor) prove(ctx context.Context, c *candidate) {
	if c.worker, c.failure = s.launch(ctx, c.start); c.failure != nil {
		return
	}
	in := c.worker.facts().instance
	checking, cancel := context.WithTimeout(ctx, s.timing.healthLimit)
	defer cancel()
	if err := s.fit(checking, in.conn); err != nil {
		in.fail(c.fail(s.now(), KindUnhealthy, fmt.Sprintf("it failed its first health check: %v", err), ""))
		c.failure = c.worker.autopsy()
	}
}

// exclusive reports whether the candidate must not run beside the instance that
// is in the slot.
func (c *candidate) exclusive(in *instance) bool {
	return c.manifest != nil && c.manifest.Exclusive || in.init.GetCapabilities().GetExclusive()
}
