// Package pluginbench measures how fast a plugin answers, and what that costs:
// calls per second, latencies, and CPU on both sides of the connection. It is
// what "broker plugin bench" runs. Who is measured is connected and initialised
// already; whether its answers are right is for package conformance to judge.
package pluginbench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Options say what is measured, and how.
type Options struct {
	// Conn is the connection to the plugin, Init what it answered.
	Conn *grpc.ClientConn
	Init *pluginv1.InitResponse
	// PID is the plugin's process. 0 means that its CPU is not known.
	PID int
	// Payload is the size of messages, in bytes. Zero is a size too.
	Payload int
	// Duration is how long each measurement takes. Zero means 2 s.
	Duration time.Duration
	// Callers is how many calls, or frames of a stream, are under way at once
	// where there is more than one. Zero means 16.
	Callers int
	// Username and Password are those of the clients that validators decide
	// about.
	Username, Password string
	// Erase allows to write into a store that is not empty, and to clear it.
	Erase bool
	// Report is told of each row as it is measured, by the goroutine that called
	// Run. Nil: nobody is.
	Report func(Row)
}

// Row is one measurement.
type Row struct {
	// Hook is what was asked about: "connect", "publish", "subscribe", ...
	Hook string `json:"hook"`
	// Way is "unary" or "stream".
	Way string `json:"way"`
	// Batch is how many items one call or frame carries.
	Batch int `json:"batch"`
	// Callers is how many calls or frames were under way at once.
	Callers int `json:"callers"`
	// Items is how many were answered: connects, messages, events, records.
	Items     uint64  `json:"items"`
	PerSecond float64 `json:"items_per_second"`
	// P50 and P99 are of the time between a call or frame and its answer.
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	// OwnCPU and PluginCPU are the CPU time for one item, of the process that
	// calls and of the plugin. Negative means that it is not known.
	OwnCPU    time.Duration `json:"own_cpu_ns_per_item"`
	PluginCPU time.Duration `json:"plugin_cpu_ns_per_item"`
	// Error is why the measurement ended early; its numbers are those until
	// then.
	Error string `json:"error,omitempty"`
}

// batches are the sizes that are measured.
var batches = []int{1, 8, 64}

// Run measures every hook that the plugin has. Its error is of the options, or
// ctx ended; what goes wrong with one measurement is in its row.
func Run(ctx context.Context, o Options) error {
	if o.Conn == nil || o.Init == nil {
		return errors.New("pluginbench: there is no plugin")
	}
	if o.Payload < 0 || o.Duration < 0 || o.Callers < 0 {
		return errors.New("pluginbench: a negative number makes no sense")
	}
	if o.Duration == 0 {
		o.Duration = 2 * time.Second
	}
	if o.Callers == 0 {
		o.Callers = 16
	}
	b := &bench{Options: &o, ctx: ctx}
	for _, hook := range []struct {
		service string
		measure func()
	}{
		{pluginv1.ConnectionValidatorService_ServiceDesc.ServiceName, b.validator},
		{pluginv1.MessageInterceptorService_ServiceDesc.ServiceName, b.interceptor},
		{pluginv1.ObserverService_ServiceDesc.ServiceName, b.observer},
		{pluginv1.RetainedStoreService_ServiceDesc.ServiceName, b.store},
	} {
		if slices.Contains(o.Init.GetServices(), hook.service) {
			hook.measure()
		}
		if ctx.Err() != nil {
			return fmt.Errorf("pluginbench: %w", context.Cause(ctx))
		}
	}
	return nil
}

// bench is one run.
type bench struct {
	*Options
	ctx context.Context //nolint:containedctx // of this run: it ends with it
}

// report hands a row over.
func (b *bench) report(r Row) {
	if b.Report != nil && b.ctx.Err() == nil {
		b.Report(r)
	}
}

// meter measures one row.
type meter struct {
	*bench
	row   Row
	began time.Time
	own   time.Duration
	other time.Duration
}

func (b *bench) begin(r Row) *meter {
	return &meter{bench: b, row: r, began: time.Now(), own: ownCPU(), other: cpuOf(b.PID)}
}

// end fills the row.
func (m *meter) end(latencies []time.Duration, err error) Row {
	r := m.row
	elapsed := time.Since(m.began)
	r.Items = uint64(len(latencies) * r.Batch)
	r.OwnCPU, r.PluginCPU = perItem(m.own, ownCPU(), r.Items), perItem(m.other, cpuOf(m.PID), r.Items)
	r.PerSecond = float64(r.Items) / elapsed.Seconds()
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		r.P50, r.P99 = latencies[n/2], latencies[min(n-1, n*99/100)]
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// perItem is what one item cost; negative if a reading is missing.
func perItem(before, after time.Duration, items uint64) time.Duration {
	if before < 0 || after < 0 || items == 0 {
		return -1
	}
	return (after - before) / time.Duration(items)
}
