package main

import (
	"cmp"
	"fmt"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type quotaCmd struct {
	List  quotaListCmd  `cmd:"" help:"List what was used today and this month, by account."`
	Reset quotaResetCmd `cmd:"" help:"Forget what an account has used today and this month."`
}

type quotaListCmd struct {
	listFlags
	Pattern string `arg:"" optional:"" help:"Accounts, as in 'authfile/*'; all without it."`
}

// Run lists accounts.
func (cmd *quotaListCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewQuotaServiceClient)
	if err != nil {
		return err
	}
	return printList(&cmd.listFlags, t, "ACCOUNT\tBYTES TODAY\tMESSAGES TODAY\tBYTES THIS MONTH\tMESSAGES THIS MONTH\tTIME ZONE",
		func(cursor string, n uint32) ([]*adminv1.Quota, string, error) {
			page, err := callAdmin(client.ListQuotas, &adminv1.ListQuotasRequest{Cursor: cursor, Limit: n, Pattern: cmd.Pattern})
			return page.GetQuotas(), page.GetNextCursor(), err
		},
		func(q *adminv1.Quota) []string {
			day, month := q.GetDay(), q.GetMonth()
			return []string{
				printable(q.GetAccount()),
				ofLimit(day.GetBytes(), day.BytesLimit), ofLimit(day.GetMessages(), day.MessagesLimit),
				ofLimit(month.GetBytes(), month.BytesLimit), ofLimit(month.GetMessages(), month.MessagesLimit),
				cmp.Or(q.GetTimeZone(), "UTC"),
			}
		})
}

// ofLimit is how much of a limit is used, if there is one.
func ofLimit(used uint64, limit *uint64) string {
	if limit == nil {
		return fmt.Sprint(used)
	}
	return fmt.Sprintf("%d of %d", used, *limit)
}

type quotaResetCmd struct {
	adminFlags
	Account string `arg:"" help:"The account, as \"broker quota list\" shows it."`
}

// Run resets an account.
func (cmd *quotaResetCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewQuotaServiceClient)
	if err != nil {
		return err
	}
	res, err := callAdmin(client.ResetQuota, &adminv1.ResetQuotaRequest{Account: cmd.Account})
	if err != nil {
		return err
	}
	return cmd.done(t, res, "%s has used nothing", printable(cmd.Account))
}
