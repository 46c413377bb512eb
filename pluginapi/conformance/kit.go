package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// The services of hooks.
var (
	validatorService   = pluginv1.ConnectionValidatorService_ServiceDesc.ServiceName
	interceptorService = pluginv1.MessageInterceptorService_ServiceDesc.ServiceName
	observerService    = pluginv1.ObserverService_ServiceDesc.ServiceName
	storeService       = pluginv1.RetainedStoreService_ServiceDesc.ServiceName
)

// serviceOf is the service that a kind of cases is about.
var serviceOf = map[string]string{
	"validator": validatorService, "interceptor": interceptorService, "observer": observerService, "store": storeService,
}

// kit runs cases, one after the other, against one process as long as that is
// well, and against another one after a case that failed or ended it.
type kit struct {
	*Options
	output  *Output
	canary  string
	dataDir string // of all processes, made for the first one

	process *Process               // initialised; nil: the next case starts one
	init    *pluginv1.InitResponse // of process
	blocked map[string]string      // why a kind of cases can't be judged
	started bool                   // the first case passed
	stays   bool                   // it does not end when it is stopped
}

func newKit(o *Options) *kit {
	k := &kit{Options: o, output: new(Output), canary: newCanary(), blocked: make(map[string]string)}
	for _, form := range forms(k.canary) {
		k.output.watch(form)
	}
	if len(o.Password) >= 6 { // a shorter one may be anywhere
		k.output.watch(o.Password)
	}
	return k
}

// leave ends what is left.
func (k *kit) leave() {
	k.discard()
	if k.dataDir != "" {
		_ = os.RemoveAll(k.dataDir)
	}
}

// discard ends the process at once.
func (k *kit) discard() {
	if k.process != nil {
		k.process.Release()
	}
	k.process, k.init = nil, nil
}

// launch starts a process that is not initialised, in place of the one there
// is.
func (k *kit) launch(ctx context.Context) (*Process, error) {
	k.retire(ctx)
	if k.dataDir == "" {
		dir, err := os.MkdirTemp("", "gatehouse-check-")
		if err != nil {
			return nil, err
		}
		k.dataDir = dir
	}
	return k.Launcher.Launch(ctx, k.output)
}

// retire stops the process as a broker would, so that another one can have what
// it had.
func (k *kit) retire(ctx context.Context) {
	if p := k.process; p != nil && p.ours() && !p.dead() && !k.stays {
		bound, cancel := context.WithTimeout(ctx, k.StopTimeout)
		if _, err := pluginv1.NewPluginServiceClient(p.Conn).Stop(bound, &pluginv1.StopRequest{}); err == nil {
			select {
			case <-p.Exited:
			case <-bound.Done():
				k.stays = true // and is killed from now on
			}
		}
		cancel()
	}
	k.discard()
}

// request is the request of Init.
func (k *kit) request(p *Process, config []byte) *pluginv1.InitRequest {
	in := &pluginv1.InitRequest{
		HostName: "gatehouse", HostVersion: "0.0.0", ApiPackages: []string{pluginapi.APIPackage}, Instance: "check",
		Capabilities: &pluginv1.Capabilities{InterceptStream: true, ObserveStream: true},
	}
	if p.Init != nil {
		in = proto.CloneOf(p.Init)
	}
	in.ConfigJson, in.DataDir, in.LogLevel = config, k.dataDir, "trace"
	return in
}

// initialise calls Init. The error is the refusal, or why there was no answer.
func (k *kit) initialise(ctx context.Context, p *Process, config []byte) (*pluginv1.InitResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, k.CallTimeout)
	defer cancel()
	out, err := pluginv1.NewPluginServiceClient(p.Conn).Init(ctx, k.request(p, config))
	if err != nil {
		return nil, fmt.Errorf("answers Init with %s", rpcError(err))
	}
	if refusals := refusalsOf(out.GetDiagnostics()); len(refusals) > 0 {
		return nil, fmt.Errorf("refuses its configuration: %s", strings.Join(refusals, "; "))
	}
	return out, nil
}

// up makes sure that an initialised process runs.
func (k *kit) up(ctx context.Context) error {
	if k.process != nil && !k.process.dead() {
		return nil
	}
	k.discard()
	p, err := k.launch(ctx)
	if err != nil {
		return fmt.Errorf("does not start: %w", err)
	}
	init, err := k.initialise(ctx, p, k.Config)
	if err != nil {
		p.Release()
		return err
	}
	k.process, k.init = p, init
	return nil
}

// serves reports whether the plugin has a hook.
func (k *kit) serves(service string) bool {
	return slices.Contains(k.init.GetServices(), service)
}

// runCase runs one case and judges it.
func (k *kit) runCase(ctx context.Context, c *testCase) (r Result) {
	began := time.Now()
	r = Result{Case: c.name, Status: Passed, Expected: c.expected}
	defer func() { r.Elapsed = time.Since(began) }()
	if reason := k.reasonToSkip(ctx, c); reason != "" {
		r.Status, r.Happened = Skipped, reason
		return r
	}
	ch := &check{kit: k, ctx: ctx, Case: c}
	skipped := ch.execute()
	if p := k.process; p != nil && c.name != startName {
		ch.aftermath(p)
	}
	switch {
	case len(ch.problems) > 0:
		r.Status, r.Happened, r.Do = Failed, ch.summary(), cmp.Or(ch.advice, c.advice)
		k.discard()
	case skipped != "":
		r.Status, r.Happened = Skipped, skipped
	}
	if c.name == startName {
		k.started = r.Status == Passed
	}
	return r
}

// reasonToSkip says why a case is not for this plugin, "" if it is.
func (k *kit) reasonToSkip(ctx context.Context, c *testCase) string {
	if c.name == startName {
		return ""
	}
	if !k.started {
		return "the plugin does not start"
	}
	if reason := k.blocked[c.kind()]; reason != "" {
		return reason
	}
	if err := k.up(ctx); err != nil {
		// It did before: whoever broke that was told.
		return "the plugin does not start any more: it " + err.Error()
	}
	if service, ok := serviceOf[c.kind()]; ok && !k.serves(service) {
		return "the plugin does not serve " + service
	}
	return ""
}

// check is one case that runs.
type check struct {
	*kit
	ctx  context.Context //nolint:containedctx // of this case: it ends with it
	Case *testCase

	problems []string
	advice   string // in place of the case's
	cleanup  []func()
}

// ending ends a case early: it panics with it.
type ending struct{ skip string }

// execute runs the case; it returns why the case was skipped, "" if it was not.
func (c *check) execute() (skipped string) {
	defer func() {
		for _, f := range slices.Backward(c.cleanup) {
			f()
		}
	}()
	defer func() {
		switch e := recover().(type) {
		case nil:
		case ending:
			skipped = e.skip
		default:
			panic(e)
		}
	}()
	c.Case.run(c)
	return ""
}

// failf notes something that is not as it should be: a clause whose subject is
// the plugin, unless it says otherwise.
func (c *check) failf(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// fatalf is failf and the end of the case.
func (c *check) fatalf(format string, args ...any) {
	c.failf(format, args...)
	panic(ending{})
}

// skipf ends the case without a judgement.
func (c *check) skipf(format string, args ...any) {
	panic(ending{fmt.Sprintf(format, args...)})
}

// enough reports whether so much went wrong that more would tell nothing new.
func (c *check) enough() bool { return len(c.problems) >= 3 }

// summary is what happened, in one line.
func (c *check) summary() string {
	first := c.problems[:min(len(c.problems), 3)]
	text := strings.Join(first, "; ")
	if more := len(c.problems) - len(first); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(text)
}

// aftermath blames a case for what became of the process during it.
func (c *check) aftermath(p *Process) {
	// Whoever dies of a call does it in the midst of the next one.
	ctx, cancel := context.WithTimeout(c.ctx, c.CallTimeout)
	defer cancel()
	_, err := pluginv1.NewPluginServiceClient(p.Conn).CheckHealth(ctx, &pluginv1.CheckHealthRequest{})
	lost := status.Code(err) == codes.Unavailable
	if p.ours() && lost {
		select {
		case <-p.Exited:
		case <-time.After(time.Second):
		}
	}
	switch {
	case p.dead():
		what, _ := p.Exit()
		// What it did not answer because it was gone is not another fault.
		c.problems = []string{"ended in the middle of the case: " + what}
		c.advice = "look at the end of its output; a plugin answers whatever comes and lives on"
	case lost && len(c.problems) == 0:
		c.failf("does not answer any more: %s", rpcError(err))
	}
}

// call bounds one call.
func (c *check) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.ctx, c.CallTimeout)
}

// fresh starts a process that is not initialised and lives as long as the case.
func (c *check) fresh() *Process {
	if !c.process.ours() {
		c.skipf("somebody else runs the plugin, and it must not be started anew")
	}
	p, err := c.launch(c.ctx)
	if err != nil {
		c.fatalf("can't be started again: %v", err)
	}
	c.cleanup = append(c.cleanup, p.Release)
	return p
}

// rpcError is a gRPC error for a person.
func rpcError(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
		return "no answer in time (" + shortened(status.Convert(err).Message()) + ")"
	}
	s := status.Convert(err)
	return fmt.Sprintf("%s: %s", s.Code(), shortened(s.Message()))
}

// refusalsOf are the diagnostics that refuse a configuration.
func refusalsOf(all []*pluginv1.Diagnostic) []string {
	var refusals []string
	for _, d := range all {
		switch d.GetSeverity() {
		case pluginv1.Severity_SEVERITY_INFO, pluginv1.Severity_SEVERITY_WARNING:
			continue
		}
		text := shortened(d.GetMessage())
		if d.GetPath() != "" {
			text = d.GetPath() + ": " + text
		}
		refusals = append(refusals, text)
	}
	return refusals
}
