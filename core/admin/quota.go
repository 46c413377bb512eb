package admin

import (
	"context"
	"fmt"

	"github.com/gatehouse-mqtt/gatehouse/core/quota"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type quotaService struct {
	quotas *quota.Ledger
}

// ListQuotas lists a page.
func (s *quotaService) ListQuotas(_ context.Context, req *adminv1.ListQuotasRequest) (*adminv1.ListQuotasResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	out := new(adminv1.ListQuotasResponse)
	for _, u := range s.quotas.List() {
		unused := u.Day == quota.Amount{} && u.Month == quota.Amount{}
		if unused || u.Account <= req.GetCursor() || !pattern(req.GetPattern()).matches(u.Account) {
			continue
		}
		if len(out.GetQuotas()) == limit {
			out.NextCursor = out.GetQuotas()[limit-1].GetAccount()
			break
		}
		out.Quotas = append(out.Quotas, &adminv1.Quota{
			Account: u.Account, TimeZone: u.Zone, Day: quotaUsage(u.Day, u.DayLimit), Month: quotaUsage(u.Month, u.MonthLimit),
		})
	}
	return out, nil
}

func quotaUsage(used, limit quota.Amount) *adminv1.QuotaUsage {
	return &adminv1.QuotaUsage{
		Bytes: used.Bytes, Messages: used.Messages, BytesLimit: limited(limit.Bytes), MessagesLimit: limited(limit.Messages),
	}
}

func limited(limit uint64) *uint64 {
	if limit == quota.Unlimited {
		return nil
	}
	return &limit
}

// ResetQuota forgets what an account has used.
func (s *quotaService) ResetQuota(_ context.Context, req *adminv1.ResetQuotaRequest) (*adminv1.ResetQuotaResponse, error) {
	known, err := s.quotas.Reset(req.GetAccount())
	if err == nil && !known {
		err = fmt.Errorf("account %q has used nothing: %w", req.GetAccount(), ErrUnknown)
	}
	if err != nil {
		return nil, err
	}
	return new(adminv1.ResetQuotaResponse), nil
}
