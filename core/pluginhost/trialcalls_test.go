//go:build unix

package pluginhost

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// versions follow each other: a supervisor whose plugins are gRPC servers in the
// test, one for each start.
type versions struct {
	*supervisor
	hooks *hook.Hooks
}

// newVersions begins with the first of the versions.
func newVersions(t *testing.T, policy hook.Policy, list ...fakePlugin) *versions {
	t.Helper()
	n := newNursery(t, Config{Interceptor: policy})
	v := &versions{supervisor: n.supervisor, hooks: hook.NewHooks(nil)}
	v.timing = quickTiming()
	v.timing.probation = patience
	v.supervisor.health = func(context.Context, *grpc.ClientConn) (string, error) { return "", nil }
	started := 0
	v.launch = func(context.Context, *start) (worker, *Failure) {
		p := list[started]
		started++
		server := grpc.NewServer(p.options...)
		p.register(server)
		init := &pluginv1.InitResponse{
			Version: fmt.Sprint(started), Services: []string{pluginv1.MessageInterceptorService_ServiceDesc.ServiceName},
			Capabilities: p.capabilities, Interest: gateInit().GetInterest(),
		}
		return &fakeWorker{in: newInstance(instanceIDs.Add(1), serveUnix(t, server), init), pid: 1, calls: make(chan string, 8)}, nil
	}
	v.publish = func(context.Context) {
		entry := v.settings()
		v.hooks.SetInterceptors([]hook.InterceptorEntry{v.interceptorEntry(&entry)})
	}
	life, end := context.WithCancel(context.Background())
	go v.run(life, context.Background())
	t.Cleanup(func() {
		end()
		<-v.over
		v.hooks.Close()
	})
	<-v.settled
	v.publish(t.Context())
	return v
}

// decide has the plugin decide one message, and says who did: "1", "2", or the
// verdict of the policy.
func (v *versions) decide() string {
	call := &hook.Call{Message: &mqtt.Message{Topic: "gated/x", Created: time.Now()}}
	v.hooks.Intercept(context.Background(), hook.AfterAuthorization, &hook.Batch{Point: hook.PointPublish, Calls: []*hook.Call{call}})
	if call.Verdict.Action != hook.Pass {
		return call.Verdict.Action.String()
	}
	return string(call.Message.Payload)
}

// marking is a plugin that writes a mark into every payload, until its vice
// comes out at a certain call.
func marking(mark string, from int64, vice func(*streamRequest, *streamResponse) error) fakePlugin {
	var calls atomic.Int64
	return streaming(func(s serverStream) error {
		for {
			in, err := s.Recv()
			if err != nil {
				return err
			}
			out := new(streamResponse)
			for _, c := range in.Calls {
				out.Verdicts = append(out.Verdicts, &pluginv1.Verdict{
					Seq: c.Seq, Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS,
					Message: &pluginv1.MessageChange{Payload: []byte(mark)},
				})
			}
			if calls.Add(int64(len(in.Calls))) >= from && vice != nil {
				if err := vice(in, out); err != nil {
					return err
				}
			}
			if err := s.Send(out); err != nil {
				return err
			}
		}
	})
}

// nonsense is what a new version may do to its calls.
var nonsense = map[string]func(*streamRequest, *streamResponse) error{
	"wrong numbers": func(_ *streamRequest, out *streamResponse) error { out.Verdicts[0].Seq += 1000; return nil },
	"twice": func(_ *streamRequest, out *streamResponse) error {
		out.Verdicts = append(out.Verdicts, out.Verdicts[0])
		return nil
	},
	"invalid message": func(_ *streamRequest, out *streamResponse) error {
		out.Verdicts[0].Message = &pluginv1.MessageChange{Topic: new("no/+/topic")}
		return nil
	},
	"unknown action": func(_ *streamRequest, out *streamResponse) error { out.Verdicts[0].Action = 99; return nil },
	"crash":          func(*streamRequest, *streamResponse) error { return context.Canceled },
	"no answer":      func(_ *streamRequest, out *streamResponse) error { *out = streamResponse{}; return nil }, //nolint:govet // it was not sent
}

// A new version that goes wrong at its first call or at its fiftieth: with
// on_error hold and calls that may be repeated nobody notices anything, and
// every message is decided once.
func TestNothingIsLostToABadVersion(t *testing.T) {
	for name, vice := range nonsense {
		for _, from := range []int64{1, 50} {
			t.Run(fmt.Sprintf("%s at %d", name, from), func(t *testing.T) {
				t.Parallel()
				v := newVersions(t, hook.Policy{Idempotent: true, Timeout: time.Second, HoldFor: patience},
					marking("1", 0, nil), marking("2", from, vice))
				var first atomic.Int64
				var stop atomic.Bool
				var publishers sync.WaitGroup
				for range 8 {
					publishers.Go(func() {
						for !stop.Load() {
							switch by := v.decide(); by {
							case "1":
								first.Add(1)
							case "2":
							default:
								t.Errorf("a message is decided by %q", by)
							}
						}
					})
				}
				must(t, v.do(t.Context(), nil))
				s := v.untilRejected(t)
				before := first.Load()
				pollUntil(t, "decisions of the first version", func() bool { return first.Load() > before+10 })
				stop.Store(true)
				publishers.Wait()
				if s.Version != "1" || s.Restarts != 0 || s.State != Ready {
					t.Errorf("status is %+v", s)
				}
			})
		}
	}
}

// untilRejected waits until the second version has lost its place.
func (v *versions) untilRejected(t *testing.T) Status {
	t.Helper()
	var s Status
	pollUntil(t, "a rejection", func() bool {
		s = Status{}
		v.read(&s)
		return s.RejectedVersion == "2"
	})
	return s
}

// What the bad version was given follows the policy; what waits behind it goes
// to the version before, even if the policy is to refuse.
func TestQueuedCallsGoToTheVersionBefore(t *testing.T) {
	arrived, sin := make(chan struct{}, 16), make(chan struct{})
	second := streaming(func(s serverStream) error {
		for range maxFramesAway {
			if _, err := s.Recv(); err != nil {
				return err
			}
			arrived <- struct{}{}
		}
		<-sin
		_ = s.Send(&streamResponse{Passed: []*pluginv1.SeqRange{{FirstSeq: 1000, Count: 1}}})
		<-s.Context().Done()
		return nil
	})
	v := newVersions(t, hook.Policy{OnError: hook.OnErrorRefuse, Timeout: patience}, marking("1", 0, nil), second)
	must(t, v.do(t.Context(), nil))
	answers := make(chan string, 16)
	for range maxFramesAway {
		go func() { answers <- v.decide() }()
		receive(t, arrived)
	}
	for range 8 {
		go func() { answers <- v.decide() }()
	}
	pollUntil(t, "eight calls in the queue", func() bool {
		bound := v.slot.state.Load().bound
		return bound.users.Load() == maxFramesAway+8
	})
	close(sin)
	got := make(map[string]int)
	for range maxFramesAway + 8 {
		got[receive(t, answers)]++
	}
	if got["refuse"] != maxFramesAway || got["1"] != 8 {
		t.Errorf("decided: %v", got)
	}
	s := v.untilRejected(t)
	if !strings.Contains(s.SwapFailure.What, "an answer to call 1000, which was not made") {
		t.Errorf("the reason is %q", s.SwapFailure.What)
	}
	if by := v.decide(); by != "1" {
		t.Errorf("the next is decided by %s", by)
	}
}

// A change that the new version did not declare is refused, as ever, and it is
// the last thing that it does.
func TestUndeclaredChangeOnTrial(t *testing.T) {
	v := newVersions(t, hook.Policy{Timeout: patience}, marking("1", 0, nil),
		marking("2", 1, func(_ *streamRequest, out *streamResponse) error {
			out.Verdicts[0].Message = &pluginv1.MessageChange{Topic: new("elsewhere")}
			return nil
		}))
	must(t, v.do(t.Context(), nil))
	if by := v.decide(); by != "refuse" {
		t.Errorf("it is decided by %s", by)
	}
	if s := v.untilRejected(t); !strings.Contains(s.SwapFailure.What, "it changed what it has not declared: topic") {
		t.Errorf("the reason is %q", s.SwapFailure.What)
	}
	if by := v.decide(); by != "1" {
		t.Errorf("the next is decided by %s", by)
	}
}

// A panic that the SDK caught ends a version that is on trial; that a call could
// not be decided does not, whatever the reason.
func TestPanicOnTrial(t *testing.T) {
	for _, tt := range []struct {
		name     string
		verdict  *pluginv1.Verdict
		rejected bool
	}{
		{"panic", &pluginv1.Verdict{Reason: "panic in publish: x", ReasonCode: 0x83}, true},
		{"error", &pluginv1.Verdict{Reason: "the database is away"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVersions(t, hook.Policy{Timeout: patience, OnError: hook.OnErrorRefuse}, marking("1", 0, nil),
				marking("2", 1, func(_ *streamRequest, out *streamResponse) error {
					seq := out.Verdicts[0].Seq
					out.Verdicts[0] = tt.verdict
					out.Verdicts[0].Seq = seq
					return nil
				}))
			must(t, v.do(t.Context(), nil))
			if by := v.decide(); by != "refuse" {
				t.Errorf("it is decided by %s", by)
			}
			if !tt.rejected {
				if by := v.decide(); by != "refuse" {
					t.Errorf("the next is decided by %s", by)
				}
				var s Status
				if v.read(&s); s.SwapFailure != nil || s.RejectedVersion != "" {
					t.Errorf("it was rejected: %+v", s)
				}
				return
			}
			if s := v.untilRejected(t); !strings.Contains(s.SwapFailure.What, "its own code failed: panic in publish: x") {
				t.Errorf("the reason is %q", s.SwapFailure.What)
			}
		})
	}
}
