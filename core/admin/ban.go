package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type banService struct {
	broker *broker.Broker
}

// ListBans lists a page.
func (s *banService) ListBans(_ context.Context, req *adminv1.ListBansRequest) (*adminv1.ListBansResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	kind, value, _ := strings.Cut(req.GetCursor(), " ")
	out := new(adminv1.ListBansResponse)
	for _, b := range s.broker.Bans().List() {
		before := cmp.Or(cmp.Compare(string(b.Kind), kind), cmp.Compare(b.Value, value)) <= 0
		if req.GetCursor() != "" && before || req.GetKind() != "" && req.GetKind() != string(b.Kind) {
			continue
		}
		if out.Bans = append(out.Bans, banProto(&b)); len(out.GetBans()) == limit {
			out.NextCursor = string(b.Kind) + " " + b.Value
			break
		}
	}
	return out, nil
}

func banProto(b *ban.Ban) *adminv1.Ban {
	return &adminv1.Ban{
		Kind: string(b.Kind), Value: b.Value, Reason: b.Reason, By: b.By,
		SinceUnixNanos: unixNanos(b.Since), UntilUnixNanos: unixNanos(b.Until),
	}
}

// AddBan bans.
func (s *banService) AddBan(_ context.Context, req *adminv1.AddBanRequest) (*adminv1.AddBanResponse, error) {
	b := ban.Ban{Kind: ban.Kind(req.GetKind()), Value: req.GetValue(), Reason: req.GetReason(), By: "admin"}
	if d := req.GetDurationSeconds(); d > 0 {
		if d > math.MaxInt64/uint64(time.Second) {
			return nil, fmt.Errorf("%w: %d seconds are more than there will be; leave it out for ever", ErrInvalid, d)
		}
		b.Until = time.Now().Add(time.Duration(d) * time.Second)
	}
	b, err := s.broker.Bans().Ban(b)
	if err != nil && !errors.Is(err, ban.ErrNotKept) {
		return nil, err
	}
	out := &adminv1.AddBanResponse{Ban: banProto(&b)}
	if !req.GetKeepConnections() {
		out.Ended = count(s.broker.EndBanned())
	}
	return out, err
}

// RemoveBan ends a ban.
func (s *banService) RemoveBan(_ context.Context, req *adminv1.RemoveBanRequest) (*adminv1.RemoveBanResponse, error) {
	existed, err := s.broker.Bans().Unban(ban.Kind(req.GetKind()), req.GetValue())
	if err == nil && !existed {
		err = fmt.Errorf("%s %q is not banned: %w", req.GetKind(), req.GetValue(), ErrUnknown)
	}
	if err != nil {
		return nil, err
	}
	return new(adminv1.RemoveBanResponse), nil
}
