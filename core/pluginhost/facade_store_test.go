package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

type fakeStore struct {
	pluginv1.UnimplementedRetainedStoreServiceServer
	load  func(grpc.ServerStreamingServer[pluginv1.LoadResponse]) error
	apply func(context.Context, *pluginv1.ApplyRequest) (*pluginv1.ApplyResponse, error)
}

func (f *fakeStore) Load(_ *pluginv1.LoadRequest, s grpc.ServerStreamingServer[pluginv1.LoadResponse]) error {
	return f.load(s)
}

func (f *fakeStore) Apply(ctx context.Context, r *pluginv1.ApplyRequest) (*pluginv1.ApplyResponse, error) {
	return f.apply(ctx, r)
}

func storing(f *fakeStore) fakePlugin {
	return fakePlugin{register: func(s *grpc.Server) { pluginv1.RegisterRetainedStoreServiceServer(s, f) }}
}

// loading is a store that loads these parts and then ends with err.
func loading(err error, parts ...*pluginv1.LoadResponse) fakePlugin {
	return storing(&fakeStore{load: func(s grpc.ServerStreamingServer[pluginv1.LoadResponse]) error {
		for _, p := range parts {
			if err := s.Send(p); err != nil {
				return err
			}
		}
		return err
	}})
}

func stored(topic string, revision uint64) *pluginv1.RetainedRecord {
	return &pluginv1.RetainedRecord{Message: messageToProto(message(topic, "p")), Revision: revision}
}

// load collects what a store yields.
func load(t *testing.T, r *rig) (got []string, err error) {
	t.Helper()
	for rec, e := range r.facades().store.Load(deadline(t)) {
		if e != nil {
			return got, e
		}
		topic := "-"
		if rec.Message != nil {
			topic = rec.Message.Topic
		}
		got = append(got, fmt.Sprintf("%s@%d", topic, rec.Revision))
	}
	return got, nil
}

func TestStoreLoad(t *testing.T) {
	r := newRig(t, loading(nil,
		&pluginv1.LoadResponse{Records: []*pluginv1.RetainedRecord{stored("a", 1), stored("b", 5)}, Revision: 3},
		&pluginv1.LoadResponse{Records: []*pluginv1.RetainedRecord{stored("c", 2)}, Revision: 9},
		&pluginv1.LoadResponse{},
	))
	got, err := load(t, r)
	if diff := cmp.Diff([]string{"a@1", "b@5", "c@2", "-@9"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for range r.facades().store.Load(deadline(t)) { // whoever has seen enough may stop
		break
	}
	if got, err = load(t, newRig(t, loading(nil))); len(got) != 0 || err != nil {
		t.Errorf("an empty store: %v, %v", got, err)
	}
}

func TestStoreLoadFails(t *testing.T) {
	part := &pluginv1.LoadResponse{Records: []*pluginv1.RetainedRecord{stored("a", 1)}}
	for name, tt := range map[string]struct {
		plugin fakePlugin
		want   []error
		text   string
	}{
		"an error":      {loading(errors.New("disk on fire"), part), nil, "disk on fire"},
		"unavailable":   {loading(status.Error(codes.Unavailable, "x"), part), []error{hook.ErrLost}, "x"},
		"unimplemented": {loading(status.Error(codes.Unimplemented, "x"), part), []error{hook.ErrProtocol}, "serves no such method"},
		"an illegal record": {loading(nil, part, &pluginv1.LoadResponse{
			Records: []*pluginv1.RetainedRecord{{Message: &pluginv1.Message{Topic: "b", Qos: 3}}},
		}), []error{hook.ErrProtocol}, `retained message of "b"`},
		"no revision after it": {loading(nil, part, &pluginv1.LoadResponse{Revision: 1<<64 - 1}), []error{hook.ErrProtocol}, "revision"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load(t, newRig(t, tt.plugin))
			wantErrors(t, err, tt.want...)
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.HasPrefix(err.Error(), "retained store fake: ") {
				t.Errorf("%v", err)
			}
			if len(got) != 1 {
				t.Errorf("%v came before", got)
			}
		})
	}
}

func TestStoreLoadEndsWithThePlugin(t *testing.T) {
	begun := make(chan struct{})
	r := newRig(t, storing(&fakeStore{load: func(s grpc.ServerStreamingServer[pluginv1.LoadResponse]) error {
		close(begun)
		<-s.Context().Done()
		return nil
	}}))
	done := make(chan error, 1)
	go func() {
		_, err := load(t, r)
		done <- err
	}()
	receive(t, begun)
	r.slot.vacate(r.in, errStopping)
	wantErrors(t, receive(t, done), hook.ErrLost)
	_, err := load(t, r)
	wantErrors(t, err, hook.ErrUnavailable)
}

// keeper applies what it is told and remembers it.
type keeper struct {
	batches [][]*pluginv1.Change
	answer  func(highest uint64) (*pluginv1.ApplyResponse, error)
}

func (k *keeper) apply(_ context.Context, r *pluginv1.ApplyRequest) (*pluginv1.ApplyResponse, error) {
	k.batches = append(k.batches, r.Changes)
	highest := r.Changes[len(r.Changes)-1].Revision
	if k.answer != nil {
		return k.answer(highest)
	}
	return &pluginv1.ApplyResponse{Revision: highest}, nil
}

func puts(n, size int) (changes []retain.Change) {
	for i := range n {
		changes = append(changes, retain.Change{
			Op: retain.Put, Topic: "t", Message: message(fmt.Sprint("t/", i), strings.Repeat("x", size)), Revision: uint64(i + 1),
		})
	}
	return changes
}

func TestStoreApply(t *testing.T) {
	k := new(keeper)
	r := newRig(t, storing(&fakeStore{apply: k.apply}))
	changes := append(puts(1, 3), retain.Change{Op: retain.Delete, Topic: "b", Revision: 2}, retain.Change{Op: retain.Clear, Revision: 3})
	if err := r.facades().store.Apply(deadline(t), changes); err != nil {
		t.Fatal(err)
	}
	if len(k.batches) != 1 || len(k.batches[0]) != 3 || k.batches[0][0].Message.Topic != "t/0" || k.batches[0][1].Topic != "b" {
		t.Errorf("%v", k.batches)
	}
	if err := r.facades().store.Apply(deadline(t), nil); err != nil || len(k.batches) != 1 {
		t.Errorf("nothing to do: %v", err)
	}
}

func TestStoreApplySplits(t *testing.T) {
	k := new(keeper)
	r := newRig(t, storing(&fakeStore{apply: k.apply}))
	if err := r.facades().store.Apply(deadline(t), puts(10, 1<<20)); err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	for _, b := range k.batches {
		if len(b) > 3 {
			t.Errorf("%d MiB in one call", len(b))
		}
		for _, c := range b {
			if c.Revision != next {
				t.Errorf("revision %d, want %d", c.Revision, next)
			}
			next++
		}
	}
	if next != 11 {
		t.Errorf("%d changes came", next-1)
	}
}

func TestStoreApplyFails(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(uint64) (*pluginv1.ApplyResponse, error)
		want   []error
		text   string
	}{
		"not stored": {func(highest uint64) (*pluginv1.ApplyResponse, error) {
			return &pluginv1.ApplyResponse{Revision: highest - 1}, nil
		}, []error{hook.ErrProtocol}, "it has revision 1 after changes up to 2"},
		"its own error": {func(uint64) (*pluginv1.ApplyResponse, error) { return nil, errors.New("disk full") }, nil, "disk full"},
		"its backend": {func(uint64) (*pluginv1.ApplyResponse, error) {
			return nil, status.Error(codes.Unavailable, "x")
		}, []error{hook.ErrLost}, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &keeper{answer: tt.answer}
			r := newRig(t, storing(&fakeStore{apply: k.apply}))
			err := r.facades().store.Apply(deadline(t), puts(2, 1))
			wantErrors(t, err, tt.want...)
			if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.HasPrefix(err.Error(), "retained store fake: ") {
				t.Errorf("%v", err)
			}
		})
	}
	r := newRig(t, storing(&fakeStore{}))
	if err := r.facades().store.Apply(deadline(t), []retain.Change{{Op: retain.Put}}); err == nil {
		t.Error("a change that is none passes")
	}
	r.slot.vacate(r.in, errStopping)
	wantErrors(t, r.facades().store.Apply(deadline(t), puts(1, 1)), hook.ErrUnavailable)
}

// TestStoreLimit has a store tell another limit with every answer.
func TestStoreLimit(t *testing.T) {
	f := &fakeStore{
		load: func(s grpc.ServerStreamingServer[pluginv1.LoadResponse]) error {
			return s.Send(&pluginv1.LoadResponse{MaxMessageBytes: 1000})
		},
		apply: func(_ context.Context, r *pluginv1.ApplyRequest) (*pluginv1.ApplyResponse, error) {
			revision := r.GetChanges()[0].GetRevision()
			return &pluginv1.ApplyResponse{Revision: revision, MaxMessageBytes: []uint64{0, 500, 1 << 63}[revision-1]}, nil
		},
	}
	r := newRig(t, storing(f))
	store := r.facades().store
	want := func(limit int) {
		t.Helper()
		if got := store.MaxMessageBytes(); got != limit {
			t.Errorf("limit %d, want %d", got, limit)
		}
	}
	want(0)
	if _, err := load(t, r); err != nil {
		t.Fatal(err)
	}
	want(1000)
	for i, limit := range []int{0, 500, 0} {
		if err := store.Apply(deadline(t), []retain.Change{{Op: retain.Delete, Topic: "a", Revision: uint64(i + 1)}}); err != nil {
			t.Fatal(err)
		}
		want(limit)
	}
}
