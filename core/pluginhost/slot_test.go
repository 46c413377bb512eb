package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func emptySlot() *slot { return newSlot("auth", slog.New(slog.DiscardHandler)) }

func TestSlotTellsWhyItIsEmpty(t *testing.T) {
	s := emptySlot()
	in := newInstance(1, nil, &pluginv1.InitResponse{})
	steps := []struct {
		name string
		do   func()
		want error // nil: in is current
	}{
		{"at first", func() {}, errNotStarted},
		{"installed", func() { must(t, s.install(in)) }, nil},
		{"retired", func() { s.retire(in, awaited, errStopping) }, errStopping},
		{"installed again", func() { must(t, s.install(in)) }, nil},
		{"explained while occupied", func() { s.explain(errNotStarted, hopeless) }, nil},
		{"dead, and nobody noticed yet", func() { in.fail(errStopping) }, errStopping},
		{"vacated", func() { s.vacate(in, errNotStarted) }, errNotStarted},
		{"explained", func() { s.explain(errStopping, awaited) }, errStopping},
	}
	for _, step := range steps {
		step.do()
		got, err := s.current()
		if step.want == nil && (got != in || err != nil) {
			t.Errorf("%s: %v, %v", step.name, got, err)
		}
		if step.want != nil && (!errors.Is(err, hook.ErrUnavailable) || !errors.Is(err, step.want)) {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

func TestSlotSaysAFailureOnce(t *testing.T) {
	s := emptySlot()
	s.explain(&Failure{Plugin: "auth", What: "it exited", Do: "do something"}, awaited)
	_, err := s.current()
	if want := "plugin auth: hook is not available: it exited"; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

// A late word about an instance does not harm its successor.
func TestSlotKeepsASuccessor(t *testing.T) {
	s := emptySlot()
	first := newInstance(1, nil, &pluginv1.InitResponse{})
	second := newInstance(2, nil, &pluginv1.InitResponse{})
	must(t, s.install(first))
	must(t, s.install(second))
	s.retire(first, awaited, errStopping)
	s.vacate(first, errStopping)
	if in, err := s.current(); in != second {
		t.Errorf("current is %v, %v", in, err)
	}
}

func TestSlotWaits(t *testing.T) {
	s := emptySlot()
	ready := make(chan error)
	for range 3 {
		go func() { ready <- s.WaitReady(context.Background()) }()
	}
	s.explain(errNotStarted, awaited) // a change that is not the one
	must(t, s.install(newInstance(1, nil, &pluginv1.InitResponse{})))
	for range 3 {
		if err := <-ready; err != nil {
			t.Error(err)
		}
	}
}

func TestSlotStopsWaiting(t *testing.T) {
	s := emptySlot()
	ctx, cancel := context.WithCancelCause(context.Background())
	tired := errors.New("tired")
	cancel(tired)
	if err := s.WaitReady(ctx); !errors.Is(err, tired) || !errors.Is(err, errNotStarted) {
		t.Errorf("error is %v", err)
	}
	ready := make(chan error)
	go func() { ready <- s.WaitReady(context.Background()) }()
	s.explain(errStopping, hopeless)
	if err := <-ready; !errors.Is(err, hook.ErrUnavailable) || !errors.Is(err, errStopping) {
		t.Errorf("error is %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
