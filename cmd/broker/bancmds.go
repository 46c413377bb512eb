package main

import (
	"time"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type banCmd struct {
	List   banListCmd   `cmd:"" help:"List who is banned."`
	Add    banAddCmd    `cmd:"" help:"Ban a client identifier, a user name, an address or a network, and end its connections."`
	Remove banRemoveCmd `cmd:"" help:"End a ban."`
}

// banKinds are how people write kinds.
var banKinds = map[string]string{"client": "client_id", "user": "username", "address": "address"}

// bannedAs is how people read a kind.
func bannedAs(kind string) string {
	for short, k := range banKinds {
		if k == kind {
			return short
		}
	}
	return kind
}

type banListCmd struct {
	listFlags
	Kind string `arg:"" optional:"" enum:",client,user,address" default:"" help:"client, user or address."`
}

// Run lists bans.
func (cmd *banListCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewBanServiceClient)
	if err != nil {
		return err
	}
	return printList(&cmd.listFlags, t, "KIND\tVALUE\tSINCE\tENDS\tBY\tREASON",
		func(cursor string, n uint32) ([]*adminv1.Ban, string, error) {
			page, err := callAdmin(client.ListBans, &adminv1.ListBansRequest{Cursor: cursor, Limit: n, Kind: banKinds[cmd.Kind]})
			return page.GetBans(), page.GetNextCursor(), err
		},
		func(b *adminv1.Ban) []string {
			return []string{
				bannedAs(b.GetKind()), printable(b.GetValue()), age(b.GetSinceUnixNanos()), banEnd(b), orDash(printable(b.GetBy())), orDash(printable(b.GetReason())),
			}
		})
}

func banEnd(b *adminv1.Ban) string {
	if b.GetUntilUnixNanos() == 0 {
		return "never"
	}
	return "in " + max(0, time.Until(time.Unix(0, b.GetUntilUnixNanos()))).Round(time.Second).String()
}

// oneBan names a ban.
type oneBan struct {
	adminFlags
	Kind  string `arg:"" enum:"client,user,address" help:"client, user or address."`
	Value string `arg:"" help:"Client identifier, user name, address, or network such as 10.0.0.0/8."`
}

type banAddCmd struct {
	oneBan
	For    time.Duration `help:"How long; for ever without it." placeholder:"TIME"`
	Reason string        `help:"Why, for people; clients are not told." placeholder:"TEXT"`
	Keep   bool          `help:"Let connections be that there are."`
}

// Run bans.
func (cmd *banAddCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewBanServiceClient)
	if err != nil {
		return err
	}
	req := &adminv1.AddBanRequest{Kind: banKinds[cmd.Kind], Value: cmd.Value, Reason: cmd.Reason, KeepConnections: cmd.Keep}
	if cmd.For > 0 {
		req.DurationSeconds = uint64(max(1, cmd.For/time.Second))
	}
	res, err := callAdmin(client.AddBan, req)
	if err != nil {
		return err
	}
	return cmd.done(t, res, "%s %s is banned, %d connections are being ended", cmd.Kind, printable(res.GetBan().GetValue()), res.GetEnded())
}

type banRemoveCmd struct{ oneBan }

// Run ends a ban.
func (cmd *banRemoveCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewBanServiceClient)
	if err != nil {
		return err
	}
	res, err := callAdmin(client.RemoveBan, &adminv1.RemoveBanRequest{Kind: banKinds[cmd.Kind], Value: cmd.Value})
	if err != nil {
		return err
	}
	return cmd.done(t, res, "%s %s may connect again", cmd.Kind, printable(cmd.Value))
}
