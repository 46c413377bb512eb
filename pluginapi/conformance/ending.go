package conformance

import (
	"context"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// endingCases are about the end of a process, and about all that was printed
// until then.
var endingCases = []testCase{
	{
		"plugin/deadlines", "after calls that were given up, each call of PluginService is answered within its deadline, Drain included",
		"end the work of a call when its deadline passes or it is cancelled, and let Drain wait for calls that run, for nothing else", testDeadlines,
	},
	{
		"plugin/stop", "it answers Stop and then ends by itself, with the status 0, while the broker's streams are open",
		"end the process after Stop was answered; do not wait for streams to end", testStop,
	},
	{
		"plugin/terminate", "SIGTERM ends it",
		"do not ignore SIGTERM: it is what a plugin gets that did not answer Stop", testTerminate,
	},
	{
		"plugin/children", "nothing that it started is left when it is killed",
		"let children stay in the process group of the plugin (no setsid, no daemon), or end them when the lifeline ends", testChildren,
	},
	{
		"plugin/stdout", "after the handshake nothing is printed to standard output",
		"print to standard error: standard output belongs to the handshake", testStdout,
	},
	{
		"validator/log", "no password is in its log, at any level, not even encoded",
		"leave password and authentication data out of what is logged; log that there is one, and its length at most", testPasswordLog,
	},
}

func testDeadlines(c *check) {
	api := pluginv1.NewPluginServiceClient(c.process.Conn)
	calls := []struct {
		name string
		call func(context.Context) error
	}{
		{"Describe", func(ctx context.Context) error { _, err := api.Describe(ctx, &pluginv1.DescribeRequest{}); return err }},
		{"ValidateConfig", func(ctx context.Context) error {
			_, err := api.ValidateConfig(ctx, &pluginv1.ValidateConfigRequest{ConfigJson: c.Config})
			return err
		}},
		{"CheckHealth", func(ctx context.Context) error {
			_, err := api.CheckHealth(ctx, &pluginv1.CheckHealthRequest{})
			return err
		}},
		{"CollectMetrics", func(ctx context.Context) error {
			_, err := api.CollectMetrics(ctx, &pluginv1.CollectMetricsRequest{})
			return err
		}},
	}
	for _, call := range calls {
		for i := range 8 {
			ctx, cancel := context.WithTimeout(c.ctx, time.Duration(i)*200*time.Microsecond)
			_ = call.call(ctx)
			cancel()
		}
	}
	if !c.process.ours() {
		c.skipf("somebody else runs the plugin, and it must not be drained")
	}
	calls = append(calls, struct {
		name string
		call func(context.Context) error
	}{"Drain", func(ctx context.Context) error { _, err := api.Drain(ctx, &pluginv1.DrainRequest{}); return err }})
	for _, call := range calls {
		ctx, cancel := c.call()
		err := call.call(ctx)
		cancel()
		if err != nil && status.Code(err) != codes.Unimplemented {
			c.failf("answers %s with %s", call.name, rpcError(err))
		}
	}
	c.retire(c.ctx) // nothing is asked of it after Drain
}

// working starts a process that is initialised and has the streams open that a
// broker opens.
func (c *check) working() *Process {
	p := c.fresh()
	init, err := c.initialise(c.ctx, p, c.Config)
	if err != nil {
		c.fatalf("%v", err)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.cleanup = append(c.cleanup, cancel)
	if init.GetCapabilities().GetInterceptStream() {
		_, _ = pluginv1.NewMessageInterceptorServiceClient(p.Conn).InterceptStream(ctx)
	}
	if init.GetCapabilities().GetObserveStream() {
		_, _ = pluginv1.NewObserverServiceClient(p.Conn).ObserveStream(ctx)
	}
	return p
}

func testStop(c *check) {
	p := c.working()
	ctx, cancel := context.WithTimeout(c.ctx, c.StopTimeout)
	defer cancel()
	began := time.Now()
	_, err := pluginv1.NewPluginServiceClient(p.Conn).Stop(ctx, &pluginv1.StopRequest{})
	// An answer may be lost on its way if the process ends at once. The broker
	// does not mind.
	if err != nil && status.Code(err) != codes.Unavailable {
		c.failf("answers Stop with %s", rpcError(err))
	}
	select {
	case <-p.Exited:
		if what, well := p.Exit(); !well {
			c.failf("did not end well: %s", what)
		}
	case <-ctx.Done():
		c.failf("was still there %v after it was asked to stop", time.Since(began).Round(time.Millisecond))
	}
}

func testTerminate(c *check) {
	p := c.working()
	if p.Terminate == nil {
		c.skipf("there is no SIGTERM on this system")
	}
	p.Terminate()
	select {
	case <-p.Exited:
	case <-time.After(c.StopTimeout):
		c.failf("was still there %v after SIGTERM", c.StopTimeout)
	}
}

func testChildren(c *check) {
	if !c.process.ours() {
		c.skipf("somebody else runs the plugin, and it must not be killed")
	}
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		c.skipf("this system has no /proc, so that nobody can tell")
	}
	p := c.working()
	if p.Mark == "" {
		c.skipf("its processes bear no mark, so that nobody can tell them")
	}
	p.Kill()
	select {
	case <-p.Exited:
	case <-time.After(c.StopTimeout):
		c.fatalf("can't be killed")
	}
	var left []relic
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if left = relics(p.Mark); len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	for _, r := range left {
		c.failf("leaves the process %d (%s) behind", r.pid, r.command)
		if process, err := os.FindProcess(r.pid); err == nil {
			_ = process.Kill()
		}
	}
}

func testStdout(c *check) {
	c.retire(c.ctx) // what it prints at its end counts too
	if stray := c.output.strays(); len(stray) > 0 {
		c.failf("printed %q", stray[0])
		if len(stray) > 1 {
			c.failf("%d lines in all", len(stray))
		}
	}
}

func testPasswordLog(c *check) {
	c.retire(c.ctx)
	if leaks := c.output.leaks(); len(leaks) > 0 {
		line := leaks[0]
		if c.Password != "" { // all others are made up
			line = strings.ReplaceAll(line, c.Password, "(the password)")
		}
		c.failf("logs passwords: %q", line)
	}
}
