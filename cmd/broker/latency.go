package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

func latencyOf(l *hook.Latency) *adminv1.LatencyHistogram {
	out := &adminv1.LatencyHistogram{
		Hook: l.Point.String(), Outcome: l.Outcome.String(), Count: l.Count, SumNanos: int64(l.Sum), Counts: l.Buckets,
	}
	for _, bound := range hook.LatencyBounds() {
		out.BoundNanos = append(out.BoundNanos, int64(bound))
	}
	return out
}

// printLatencies prints how long calls took. A share of the calls took at most
// the bound of the bucket in which the last of them is.
func printLatencies(w io.Writer, list []*adminv1.LatencyHistogram) error {
	if len(list) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nHOOK\tOUTCOME\tCALLS\tMEAN\tP50 UP TO\tP99 UP TO\tMAX UP TO")
	for _, l := range list {
		h := hook.Latency{Count: l.GetCount(), Buckets: l.GetCounts()}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", l.GetHook(), l.GetOutcome(), l.GetCount(),
			shortTime(time.Duration(l.GetSumNanos()/int64(max(l.GetCount(), 1)))),
			h.Quantile(0.5), h.Quantile(0.99), h.Quantile(1))
	}
	return tw.Flush()
}
