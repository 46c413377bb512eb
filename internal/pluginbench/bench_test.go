package pluginbench_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/internal/pluginbench"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything has every hook.
type everything struct {
	pluginapi.PublishFunc
	pluginapi.ValidatorFunc
	memory
}

func (everything) Observe(context.Context, []pluginapi.Event, uint64) error { return nil }

// memory is a store that has what it is given first.
type memory struct{ records []pluginapi.Record }

func (m memory) Load(_ context.Context, yield func(pluginapi.Record) error) error {
	for _, r := range m.records {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

func (memory) Apply(_ context.Context, changes []pluginapi.Change) (uint64, error) {
	return changes[len(changes)-1].Revision, nil
}

func measure(t *testing.T, hooks any, init *pluginv1.InitResponse) []pluginbench.Row {
	t.Helper()
	p := plugintest.Start(t, pluginapi.Plugin{Name: "measured", Hooks: hooks})
	var rows []pluginbench.Row
	err := pluginbench.Run(t.Context(), pluginbench.Options{
		Conn: p.Conn(), Init: init, Payload: 10, Duration: 20 * time.Millisecond, Callers: 3,
		Report: func(r pluginbench.Row) { rows = append(rows, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func initOf(services ...string) *pluginv1.InitResponse {
	for i, s := range services {
		services[i] = "gatehouse.plugin.v1." + s
	}
	return &pluginv1.InitResponse{Services: services, Capabilities: &pluginv1.Capabilities{InterceptStream: true, ObserveStream: true}}
}

func hooks() everything {
	return everything{
		PublishFunc: func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) { return pluginapi.Pass(), nil },
		ValidatorFunc: func(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
			return pluginapi.Allowed(), nil
		},
	}
}

// Every hook is measured, every way and size that it has.
func TestRows(t *testing.T) {
	rows := measure(t, hooks(), initOf("ConnectionValidatorService", "MessageInterceptorService", "ObserverService", "RetainedStoreService"))
	count := map[string]int{}
	for _, r := range rows {
		count[r.Hook+" "+r.Way]++
		if r.Error != "" || r.Items == 0 && r.Hook != "load" || r.P99 < r.P50 || r.Items%uint64(max(1, r.Batch)) != 0 {
			t.Errorf("%+v", r)
		}
	}
	for what, want := range map[string]int{
		"connect unary": 2, "publish unary": 6, "publish stream": 3, "event unary": 3, "event stream": 3, "retain unary": 3, "load unary": 1,
	} {
		if count[what] != want {
			t.Errorf("%d rows of %s, want %d", count[what], what, want)
		}
	}
}

// What fails is in its row, in place of numbers that would be those of an error.
func TestFailures(t *testing.T) {
	h := hooks()
	h.PublishFunc = func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		return pluginapi.Verdict{}, errors.New("no idea")
	}
	for _, r := range measure(t, h, initOf("MessageInterceptorService")) {
		if r.Way == "unary" && (r.Items != 0 || !strings.Contains(r.Error, "no idea")) {
			t.Errorf("%+v", r)
		}
	}
	h.ValidatorFunc = func(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
		return nil, status.Error(codes.Unavailable, "the directory is down")
	}
	for _, r := range measure(t, h, initOf("ConnectionValidatorService")) {
		if !strings.Contains(r.Error, "the directory is down") {
			t.Errorf("%+v", r)
		}
	}
}

// A store that somebody uses is left alone.
func TestStoreOfOthers(t *testing.T) {
	h := hooks()
	h.memory = memory{[]pluginapi.Record{{Message: plugintest.Message("a", "b"), Revision: 7}}}
	rows := measure(t, h, initOf("RetainedStoreService"))
	if len(rows) != 1 || rows[0].Items != 0 || !strings.Contains(rows[0].Error, "has 1 messages already") {
		t.Errorf("%+v", rows)
	}
}

func TestOptions(t *testing.T) {
	if err := pluginbench.Run(t.Context(), pluginbench.Options{}); err == nil {
		t.Error("no plugin, and no error")
	}
	p := plugintest.Start(t, pluginapi.Plugin{Name: "measured", Hooks: hooks()})
	if err := pluginbench.Run(t.Context(), pluginbench.Options{Conn: p.Conn(), Init: initOf(), Payload: -1}); err == nil {
		t.Error("a negative payload, and no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := pluginbench.Options{Conn: p.Conn(), Init: initOf("ConnectionValidatorService"), Duration: time.Hour}
	if err := pluginbench.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}
