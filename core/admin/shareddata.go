package admin

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type sharedDataService struct {
	shared *broker.Shared
}

// ListSharedData lists a page.
func (s *sharedDataService) ListSharedData(_ context.Context, req *adminv1.ListSharedDataRequest) (*adminv1.ListSharedDataResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	list := s.shared.List(req.GetPrefix(), req.GetCursor(), limit)
	out := new(adminv1.ListSharedDataResponse)
	size := 0
	for i := range list {
		e := &adminv1.SharedData{Key: list[i].Key, Size: count(len(list[i].Value)), Version: list[i].Version}
		if req.GetValues() {
			e.Value = list[i].Value
		}
		out.Entries = append(out.Entries, e)
		if size += len(e.GetValue()); size >= maxPageBytes {
			break
		}
	}
	if n := len(out.GetEntries()); n > 0 && (n == limit || n < len(list)) {
		out.NextCursor = out.GetEntries()[n-1].GetKey()
	}
	return out, nil
}

// GetSharedData returns the value of a key.
func (s *sharedDataService) GetSharedData(_ context.Context, req *adminv1.GetSharedDataRequest) (*adminv1.GetSharedDataResponse, error) {
	value, version := s.shared.Get(req.GetKey())
	if version == 0 {
		return nil, noKey(req.GetKey())
	}
	return &adminv1.GetSharedDataResponse{Entry: &adminv1.SharedData{
		Key: req.GetKey(), Value: value, Size: count(len(value)), Version: version,
	}}, nil
}

func noKey(key string) error { return fmt.Errorf("shared data has no key %q: %w", key, ErrUnknown) }

// otherVersion says that a key does not have the version that was asked for.
func otherVersion(key string, is uint64) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("key %q has version %d", key, is))
}

// PutSharedData writes a value.
func (s *sharedDataService) PutSharedData(_ context.Context, req *adminv1.PutSharedDataRequest) (*adminv1.PutSharedDataResponse, error) {
	value := req.GetValue()
	switch {
	case len(value) > 0 && req.GetText() != "":
		return nil, fmt.Errorf("%w: give the value as bytes or as text, not both", ErrInvalid)
	case req.GetText() != "":
		value = []byte(req.GetText())
	}
	if req.IfVersion == nil {
		version, err := s.shared.Put(req.GetKey(), value)
		if err != nil {
			return nil, err
		}
		return &adminv1.PutSharedDataResponse{Version: version}, nil
	}
	written, version, err := s.shared.PutIf(req.GetKey(), value, req.GetIfVersion())
	switch {
	case err != nil:
		return nil, err
	case !written:
		return nil, otherVersion(req.GetKey(), version)
	}
	return &adminv1.PutSharedDataResponse{Version: version}, nil
}

// DeleteSharedData removes a key.
func (s *sharedDataService) DeleteSharedData(_ context.Context, req *adminv1.DeleteSharedDataRequest) (*adminv1.DeleteSharedDataResponse, error) {
	if req.IfVersion == nil {
		if !s.shared.Delete(req.GetKey()) {
			return nil, noKey(req.GetKey())
		}
		return new(adminv1.DeleteSharedDataResponse), nil
	}
	switch deleted, is := s.shared.DeleteIf(req.GetKey(), req.GetIfVersion()); {
	case !deleted && is == 0:
		return nil, noKey(req.GetKey())
	case !deleted:
		return nil, otherVersion(req.GetKey(), is)
	case req.GetIfVersion() == 0:
		return nil, noKey(req.GetKey())
	}
	return new(adminv1.DeleteSharedDataResponse), nil
}
