package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// order asks a supervisor to change its plugin.
type order struct {
	entry *found       // what holds from now on; nil: start what is there anew
	done  chan<- error // told once; has room for it
}

// change is how much of a plugin another entry concerns.
type change uint8

const (
	changesPolicy  change = iota // only how the broker treats it
	changesConfig                // its own configuration too
	changesProcess               // its files, environment or address too
)

// compare says what it takes to get from one entry to another.
func compare(a, b found) change {
	b = b.underPolicyOf(a)
	if !a.place.same(b.place) {
		return changesProcess
	}
	if reflect.DeepEqual(a.Config, b.Config) {
		return changesPolicy
	}
	a.Config.Config, b.Config.Config = nil, nil
	if reflect.DeepEqual(a.Config, b.Config) {
		return changesConfig
	}
	return changesProcess
}

// underPolicyOf is f with what another entry says of how the broker treats the
// plugin.
func (f found) underPolicyOf(o found) found {
	f.Enabled, f.Required, f.Order = o.Enabled, o.Required, o.Order
	f.MaxFailures, f.StartTimeout, f.Probation, f.DebugTimeout = o.MaxFailures, o.StartTimeout, o.Probation, o.DebugTimeout
	f.Validator, f.Interceptor, f.Observer, f.Store = o.Validator, o.Interceptor, o.Observer, o.Store
	f.MayBypassAuthorization = o.MayBypassAuthorization
	return f
}

// do gives an order and waits until it was followed, or until ctx ends.
func (s *supervisor) do(ctx context.Context, entry *found) error {
	done := make(chan error, 1)
	select {
	case s.orders <- order{entry: entry, done: done}:
	case <-s.over:
		return fmt.Errorf("plugin %s: %w", s.slot.name, errStopping)
	case <-ctx.Done():
		return fmt.Errorf("plugin %s: it is still being started or replaced: %w", s.slot.name, context.Cause(ctx))
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("plugin %s: its new instance is still being started: %w", s.slot.name, context.Cause(ctx))
	}
}

// adopt puts an entry in force.
func (s *supervisor) adopt(entry found) {
	retries := entry.MaxFailures != s.MaxFailures || entry.place.attach != s.place.attach
	s.found = entry
	if retries {
		s.retry = s.newBackoff()
	}
	s.abides(entry)
}

// errRestart says that a plugin takes a new configuration only when it starts.
var errRestart = errors.New("the plugin can't be reconfigured while it runs")

// reconfigure hands a running instance its new configuration. The error is
// [errRestart] if it can't take one; any other means that it keeps the old one.
//
// Nobody outside of the plugin knows at which call it begins to follow the new
// configuration, and so which changes it has declared for that call. Meanwhile
// it may change anything in what it is asked.
func (s *supervisor) reconfigure(ctx context.Context, in *instance, entry *found) error {
	if !in.init.GetCapabilities().GetReconfigure() {
		return errRestart
	}
	ctx, cancel := context.WithTimeout(ctx, entry.startTimeout())
	defer cancel()
	before := s.latestInterest()
	if err := s.ask(ctx, in, unbounded(before)); err != nil {
		return s.refusal(KindUntrusted, err.Error())
	}
	out, err := pluginv1.NewPluginServiceClient(in.conn).Reconfigure(ctx, &pluginv1.ReconfigureRequest{ConfigJson: entry.configJSON()})
	switch {
	case status.Code(err) == codes.Unimplemented:
		err = errRestart
	case err != nil:
		err = s.refusal(KindLost, "it did not take its new configuration: "+rpcError(err))
	default:
		if refusals := remarks(s.log, out.GetDiagnostics()); len(refusals) > 0 {
			err = s.refusal(KindMisconfigured, "it refused its new configuration and keeps the old one: "+strings.Join(refusals, "; "))
		}
	}
	if err != nil {
		return errors.Join(err, s.ask(ctx, in, before))
	}
	if err := s.ask(ctx, in, out.GetInterest()); err != nil {
		return s.refusal(KindUntrusted, "under its new configuration it gives a bad answer: "+err.Error())
	}
	s.adopt(*entry)
	s.log.Info("plugin is reconfigured")
	return nil
}

// ask has the broker ask a running instance by other interests. Calls that were
// chosen by the old ones are answered before it returns.
func (s *supervisor) ask(ctx context.Context, in *instance, interest []*pluginv1.HookInterest) error {
	before := s.slot.state.Load().bound
	if err := s.slot.occupy(in, interest); err != nil {
		return err
	}
	s.listens(interest)
	s.publish(ctx)
	if before != nil {
		s.slot.shut(before)
		before.settled(ctx, s.timing.handover)
		s.slot.release(before)
	}
	return nil
}

// unbounded are interests that may change everything.
func unbounded(interest []*pluginv1.HookInterest) []*pluginv1.HookInterest {
	var fields []pluginv1.Field
	for f := range pluginv1.Field_name {
		if f != int32(pluginv1.Field_FIELD_UNSPECIFIED) {
			fields = append(fields, pluginv1.Field(f))
		}
	}
	out := make([]*pluginv1.HookInterest, len(interest))
	for i, in := range interest {
		out[i] = proto.CloneOf(in)
		out[i].MayChange = fields
	}
	return out
}

// refusal makes a failure of a plugin that goes on as it was.
func (s *supervisor) refusal(kind FailureKind, what string) *Failure {
	return &Failure{Plugin: s.Name, Kind: kind, What: what, Time: s.now()}
}

// remarks logs what a plugin remarks about its configuration and returns what
// it does not accept.
func remarks(log *slog.Logger, list []*pluginv1.Diagnostic) (refusals []string) {
	for _, d := range list {
		text := diagnostic(d)
		switch d.GetSeverity() {
		case pluginv1.Severity_SEVERITY_INFO:
			log.Info("remark about configuration", slog.String("remark", text))
		case pluginv1.Severity_SEVERITY_WARNING:
			log.Warn("remark about configuration", slog.String("remark", text))
		default:
			refusals = append(refusals, text)
		}
	}
	return refusals
}
