package pluginapi

import (
	"context"
	"fmt"
	"iter"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// HostRetained calls the broker about retained messages; see [Host.Retained].
type HostRetained struct{ h *Host }

// All yields the retained messages that match a filter, all if it is "", in
// order of topic, by page as [HostClients.All]. Scope retained.read.
func (r HostRetained) All(ctx context.Context, filter string) iter.Seq2[*Message, error] {
	return byPage(func(cursor string) ([]*Message, string, error) {
		out, err := call(ctx, r.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.ListRetainedResponse, error) {
			return c.ListRetained(ctx, &pluginv1.ListRetainedRequest{Filter: filter, Cursor: cursor})
		})
		list := make([]*Message, len(out.GetMessages()))
		for i, m := range out.GetMessages() {
			list[i] = messageFromProto(m)
		}
		return list, out.GetNextCursor(), err
	})
}

// Get returns the retained message of a topic. The error wraps ErrNotFound if
// there is none. Scope retained.read.
func (r HostRetained) Get(ctx context.Context, topic string) (*Message, error) {
	out, err := call(ctx, r.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.GetRetainedResponse, error) {
		return c.GetRetained(ctx, &pluginv1.GetRetainedRequest{Topic: topic})
	})
	if err != nil {
		return nil, err
	}
	return messageFromProto(out.GetMessage()), nil
}

// Put stores a retained message without publishing it; an empty payload removes
// what its topic has. It returns its revision when the store has it. Scope
// retained.write.
func (r HostRetained) Put(ctx context.Context, m *Message) (revision uint64, err error) {
	pb, err := messageToProto(m)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	out, err := call(ctx, r.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.PutRetainedResponse, error) {
		return c.PutRetained(ctx, &pluginv1.PutRetainedRequest{Message: pb, Call: tokenOf(ctx)})
	})
	return out.GetRevision(), err
}

// Delete removes the retained message of a topic, or all that match a filter,
// and returns how many those were. Scope retained.write.
func (r HostRetained) Delete(ctx context.Context, filter string) (deleted int, err error) {
	return r.remove(ctx, &pluginv1.DeleteRetainedRequest{Filter: filter})
}

// Clear removes all retained messages and returns how many those were. Scope
// retained.write.
func (r HostRetained) Clear(ctx context.Context) (deleted int, err error) {
	return r.remove(ctx, &pluginv1.DeleteRetainedRequest{All: true})
}

func (r HostRetained) remove(ctx context.Context, in *pluginv1.DeleteRetainedRequest) (int, error) {
	out, err := call(ctx, r.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.DeleteRetainedResponse, error) {
		return c.DeleteRetained(ctx, in)
	})
	return int(out.GetDeleted()), err
}

// HostShared calls the broker about the data that plugins share, in its memory;
// see [Host.Shared]. A value has a version that no other value ever has, and that
// grows; 0 stands for a key that does not exist.
type HostShared struct{ h *Host }

// Get returns a value and its version. Scope shared.read.
func (s HostShared) Get(ctx context.Context, key string) (value []byte, version uint64, err error) {
	out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.GetSharedResponse, error) {
		return c.GetShared(ctx, &pluginv1.GetSharedRequest{Key: key})
	})
	return out.GetValue(), out.GetVersion(), err
}

// Put writes a value and returns its version. Scope shared.write.
func (s HostShared) Put(ctx context.Context, key string, value []byte) (version uint64, err error) {
	_, version, err = s.write(ctx, &pluginv1.PutSharedRequest{Key: key, Value: present(value)})
	return version, err
}

// PutIf is Put if the key has a version; else nothing changes, written is false,
// and version is the one that it has. Scope shared.write.
func (s HostShared) PutIf(ctx context.Context, key string, value []byte, has uint64) (written bool, version uint64, err error) {
	return s.write(ctx, &pluginv1.PutSharedRequest{Key: key, Value: present(value), IfVersion: &has})
}

// Delete removes a key. Scope shared.write.
func (s HostShared) Delete(ctx context.Context, key string) error {
	_, _, err := s.write(ctx, &pluginv1.PutSharedRequest{Key: key})
	return err
}

// DeleteIf is Delete if the key has a version; else nothing changes, deleted is
// false, and version is the one that it has. Scope shared.write.
func (s HostShared) DeleteIf(ctx context.Context, key string, has uint64) (deleted bool, version uint64, err error) {
	return s.write(ctx, &pluginv1.PutSharedRequest{Key: key, IfVersion: &has})
}

// present makes of a value one that is there, though it may be empty.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

func (s HostShared) write(ctx context.Context, in *pluginv1.PutSharedRequest) (written bool, version uint64, err error) {
	out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.PutSharedResponse, error) {
		return c.PutShared(ctx, in)
	})
	return out.GetWritten(), out.GetVersion(), err
}
