package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type clientCmd struct {
	List       clientListCmd       `cmd:"" help:"List the connected clients."`
	Get        clientGetCmd        `cmd:"" help:"Tell everything about one connected client."`
	Disconnect clientDisconnectCmd `cmd:"" help:"End a client's connection."`
	Revalidate clientRevalidateCmd `cmd:"" help:"Ask the validators again about a connected client, and put what they say in force."`
	Reset      clientResetCmd      `cmd:"" help:"Have the counters of a client's connection begin at 0."`
	Watch      clientWatchCmd      `cmd:"" help:"Print what clients do as it happens: connections, sessions, subscriptions, messages, drops."`
}

type clientListCmd struct {
	listFlags
	Pattern    string `arg:"" optional:"" help:"Client identifiers; * is any text, ? one character."`
	Username   string `help:"Only user names that match." placeholder:"PATTERN"`
	Listener   string `help:"Only clients of this listener." placeholder:"NAME"`
	Address    string `help:"Only clients from this address or network." placeholder:"IP"`
	MQTT       string `name:"mqtt" help:"Only this version of MQTT: 3.1, 3.1.1 or 5." placeholder:"VERSION"`
	Mountpoint string `help:"Only clients with this mountpoint." placeholder:"TOPIC"`
}

// Run lists clients.
func (cmd *clientListCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewClientServiceClient)
	if err != nil {
		return err
	}
	req := &adminv1.ListClientsRequest{
		ClientId: cmd.Pattern, Username: cmd.Username, Listener: cmd.Listener, Address: cmd.Address, Version: cmd.MQTT, Mountpoint: cmd.Mountpoint,
	}
	return printList(&cmd.listFlags, t, "CLIENT\tUSER\tMQTT\tADDRESS\tLISTENER\tCONNECTED\tMESSAGES IN\tOUT",
		func(cursor string, n uint32) ([]*adminv1.Client, string, error) {
			req.Cursor, req.Limit = cursor, n
			page, err := callAdmin(client.ListClients, req)
			return page.GetClients(), page.GetNextCursor(), err
		},
		func(c *adminv1.Client) []string {
			return []string{
				printable(c.GetClientId()), orDash(printable(c.GetUsername())), c.GetVersion(), printable(c.GetAddress()), printable(c.GetListener()),
				age(c.GetConnectedUnixNanos()), fmt.Sprint(c.GetMessagesReceived()), fmt.Sprint(c.GetMessagesSent()),
			}
		})
}

// oneClient names a client.
type oneClient struct {
	adminFlags
	ID string `arg:"" name:"client" help:"Client identifier." predictor:"client"`
}

func (o *oneClient) clients() (adminv1connect.ClientServiceClient, error) {
	return dialAdmin(&o.adminFlags, adminv1connect.NewClientServiceClient)
}

type clientGetCmd struct{ oneClient }

// Run tells of one client.
func (cmd *clientGetCmd) Run(t *terminal) error {
	client, err := cmd.clients()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.GetClient, &adminv1.GetClientRequest{ClientId: cmd.ID})
	if err != nil {
		return err
	}
	c := res.GetClient()
	if cmd.JSON {
		return writeJSONBlock(t.out, c)
	}
	rows := [][2]string{
		{"client", printable(c.GetClientId())},
		{"user", orDash(printable(c.GetUsername()))},
		{"mqtt", c.GetVersion()},
		{"address", c.GetAddress()},
		{"listener", c.GetListener()},
		{"mountpoint", orDash(printable(c.GetMountpoint()))},
		{"connected", time.Unix(0, c.GetConnectedUnixNanos()).Format(time.RFC3339) + ", " + age(c.GetConnectedUnixNanos()) + " ago"},
		{"last packet", age(c.GetLastReceivedUnixNanos()) + " ago"},
		{"connection", fmt.Sprint(c.GetConnectionId())},
		{"packets", fmt.Sprintf("%d in, %d out", c.GetPacketsReceived(), c.GetPacketsSent())},
		{"messages", fmt.Sprintf("%d in, %d out", c.GetMessagesReceived(), c.GetMessagesSent())},
		{"bytes", fmt.Sprintf("%d in, %d out", c.GetBytesReceived(), c.GetBytesSent())},
		{"let in by", orDash(strings.Join(c.GetAdmittedBy(), ", "))},
	}
	return printRows(t.out, append(rows, itemRows(c.GetItems())...))
}

type clientDisconnectCmd struct {
	oneClient
	Code        string `help:"Reason code that an MQTT 5 client is told, such as 0x98 or 152." default:"0x98" placeholder:"CODE"`
	Reason      string `help:"Reason that an MQTT 5 client is told." placeholder:"TEXT"`
	Server      string `help:"Server that an MQTT 5 client is to go to; --code 0x9c or 0x9d goes with it." placeholder:"HOST"`
	DiscardWill bool   `help:"Do not publish the client's will."`
}

// Run ends a connection.
func (cmd *clientDisconnectCmd) Run(t *terminal) error {
	code, err := strconv.ParseUint(cmd.Code, 0, 8)
	if err != nil || code < 0x80 {
		return fmt.Errorf("reason code %q: write a number from 0x80 to 0xff", cmd.Code)
	}
	client, err := cmd.clients()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.DisconnectClient, &adminv1.DisconnectClientRequest{
		ClientId: cmd.ID, ReasonCode: uint32(code), Reason: cmd.Reason, ServerReference: cmd.Server, DiscardWill: cmd.DiscardWill,
	})
	if err != nil {
		return err
	}
	return cmd.done(t, res, "%s is being disconnected", printable(cmd.ID))
}

type clientRevalidateCmd struct{ oneClient }

// Run asks the validators again.
func (cmd *clientRevalidateCmd) Run(t *terminal) error {
	client, err := cmd.clients()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.RevalidateClient, &adminv1.RevalidateClientRequest{ClientId: cmd.ID})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSONLine(t.out, res)
	}
	if res.GetRefused() {
		return fmt.Errorf("%s is being disconnected: 0x%02x %s", printable(cmd.ID), res.GetReasonCode(), orDash(res.GetReason()))
	}
	for _, f := range res.GetEndedSubscriptions() {
		fmt.Fprintf(t.out, "subscription ended: %s\n", printable(f))
	}
	_, err = fmt.Fprintf(t.out, "%s may stay\n", printable(cmd.ID))
	return err
}

type clientResetCmd struct{ oneClient }

// Run resets counters.
func (cmd *clientResetCmd) Run(t *terminal) error {
	client, err := cmd.clients()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.ResetClientStatistics, &adminv1.ResetClientStatisticsRequest{ClientId: cmd.ID})
	if err != nil {
		return err
	}
	return cmd.done(t, res, "the counters of %s begin at 0", printable(cmd.ID))
}

// reasonCode is a reason code for people.
func reasonCode(n uint32) string {
	return fmt.Sprintf("0x%02x %s", n, mqtt.ReasonCode(n)) //nolint:gosec // a byte
}

// refusedCodes joins what was refused of several things, nil if nothing was.
func refusedCodes(what []string, codes []uint32) error {
	var errs []error
	for i, c := range codes {
		if c >= 0x80 && i < len(what) {
			errs = append(errs, fmt.Errorf("%s: %s", printable(what[i]), reasonCode(c)))
		}
	}
	return errors.Join(errs...)
}
