package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type sessionCmd struct {
	List   sessionListCmd   `cmd:"" help:"List the sessions, of clients that are connected or not."`
	Get    sessionGetCmd    `cmd:"" help:"Tell everything about one session."`
	Delete sessionDeleteCmd `cmd:"" help:"End a session, and its client's connection."`
	Clear  sessionClearCmd  `cmd:"" help:"Drop what is queued for a session."`
	Items  sessionItemsCmd  `cmd:"" help:"Show the items of a session, which every hook sees, or change them."`
	Send   sessionSendCmd   `cmd:"" help:"Put a message into one session's queue, past subscriptions and grants."`
}

type sessionListCmd struct {
	listFlags
	Pattern      string `arg:"" optional:"" help:"Client identifiers; * is any text, ? one character."`
	Username     string `help:"Only user names that match." placeholder:"PATTERN"`
	Mountpoint   string `help:"Only sessions with this mountpoint." placeholder:"TOPIC"`
	Connected    bool   `help:"Only those of connected clients." xor:"connected"`
	Disconnected bool   `help:"Only those of clients that are away." xor:"connected"`
	Pending      uint64 `help:"Only those with at least so many messages queued or in flight." placeholder:"N"`
}

// Run lists sessions.
func (cmd *sessionListCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewSessionServiceClient)
	if err != nil {
		return err
	}
	req := &adminv1.ListSessionsRequest{
		ClientId: cmd.Pattern, Username: cmd.Username, Mountpoint: cmd.Mountpoint, MinPending: cmd.Pending,
	}
	if cmd.Connected || cmd.Disconnected {
		req.Connected = &cmd.Connected
	}
	return printList(&cmd.listFlags, t, "CLIENT\tUSER\tSTATE\tAGE\tEXPIRES\tSUBSCRIPTIONS\tPENDING",
		func(cursor string, n uint32) ([]*adminv1.Session, string, error) {
			req.Cursor, req.Limit = cursor, n
			page, err := callAdmin(client.ListSessions, req)
			return page.GetSessions(), page.GetNextCursor(), err
		},
		func(s *adminv1.Session) []string {
			return []string{
				printable(s.GetClientId()), orDash(printable(s.GetUsername())), sessionState(s), age(s.GetCreatedUnixNanos()), sessionExpiry(s),
				fmt.Sprint(s.GetSubscriptionCount()), fmt.Sprint(s.GetPending()),
			}
		})
}

func sessionState(s *adminv1.Session) string {
	if s.GetConnected() {
		return "connected"
	}
	return "away for " + age(s.GetDisconnectedUnixNanos())
}

// sessionExpiry says when a session ends.
func sessionExpiry(s *adminv1.Session) string {
	switch {
	case s.GetExpirySeconds() < 0:
		return "never"
	case s.GetConnected():
		return fmt.Sprintf("%s after it leaves", time.Duration(s.GetExpirySeconds())*time.Second)
	default:
		at := time.Unix(0, s.GetDisconnectedUnixNanos()).Add(time.Duration(s.GetExpirySeconds()) * time.Second)
		return "in " + max(0, time.Until(at)).Round(time.Second).String()
	}
}

// oneSession names a session.
type oneSession struct {
	adminFlags
	ID string `arg:"" name:"client" help:"Client identifier." predictor:"session"`
}

func (o *oneSession) sessions() (adminv1connect.SessionServiceClient, error) {
	return dialAdmin(&o.adminFlags, adminv1connect.NewSessionServiceClient)
}

type sessionGetCmd struct{ oneSession }

// Run tells of one session.
func (cmd *sessionGetCmd) Run(t *terminal) error {
	client, err := cmd.sessions()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.GetSession, &adminv1.GetSessionRequest{ClientId: cmd.ID})
	if err != nil {
		return err
	}
	s := res.GetSession()
	if cmd.JSON {
		return writeJSONBlock(t.out, s)
	}
	rows := [][2]string{
		{"client", printable(s.GetClientId())},
		{"user", orDash(printable(s.GetUsername()))},
		{"mountpoint", orDash(printable(s.GetMountpoint()))},
		{"state", sessionState(s)},
		{"created", time.Unix(0, s.GetCreatedUnixNanos()).Format(time.RFC3339)},
		{"expires", sessionExpiry(s)},
		{"pending", fmt.Sprint(s.GetPending())},
		{"durability", orDash(s.GetDurability())},
	}
	for _, sub := range s.GetSubscriptions() {
		rows = append(rows, [2]string{"subscription", printable(sub.GetFilter()) + " (" + subscriptionOptions(sub) + ")"})
	}
	return printRows(t.out, append(rows, itemRows(s.GetItems())...))
}

// itemRows are session items for people.
func itemRows(items map[string][]byte) [][2]string {
	var rows [][2]string
	for _, name := range slices.Sorted(maps.Keys(items)) {
		value := printable(string(items[name]))
		if !utf8.Valid(items[name]) {
			value = "base64 " + base64.StdEncoding.EncodeToString(items[name])
		}
		rows = append(rows, [2]string{"item " + printable(name), value})
	}
	return rows
}

type sessionDeleteCmd struct{ oneSession }

// Run ends a session.
func (cmd *sessionDeleteCmd) Run(t *terminal) error {
	client, err := cmd.sessions()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.DeleteSession, &adminv1.DeleteSessionRequest{ClientId: cmd.ID})
	if err != nil {
		return err
	}
	return cmd.done(t, res, "the session of %s is deleted", printable(cmd.ID))
}

type sessionClearCmd struct{ oneSession }

// Run drops what is queued.
func (cmd *sessionClearCmd) Run(t *terminal) error {
	client, err := cmd.sessions()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.ClearSessionQueue, &adminv1.ClearSessionQueueRequest{ClientId: cmd.ID})
	if err != nil {
		return err
	}
	return cmd.done(t, res, "%d messages dropped", res.GetDropped())
}

type sessionItemsCmd struct {
	oneSession
	Set    pairs    `sep:"none" help:"Set an item. Repeatable." placeholder:"NAME=VALUE"`
	Remove []string `sep:"none" help:"Remove an item. Repeatable." placeholder:"NAME"`
}

// Run changes items and prints all that there are then.
func (cmd *sessionItemsCmd) Run(t *terminal) error {
	req := &adminv1.UpdateSessionItemsRequest{ClientId: cmd.ID, Remove: cmd.Remove, Set: make(map[string][]byte)}
	for _, s := range cmd.Set {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("item %q: write NAME=VALUE", s)
		}
		req.Set[name] = []byte(value)
	}
	client, err := cmd.sessions()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.UpdateSessionItems, req)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSONLine(t.out, res)
	}
	return printRows(t.out, itemRows(res.GetItems()))
}

type sessionSendCmd struct {
	oneSession
	Topic   string `arg:"" help:"Topic, with the mountpoint if there is one."`
	Payload string `arg:"" optional:"" help:"The payload."`
	QoS     uint32 `name:"qos" short:"q" help:"Quality of service, 0 to 2."`
	Wait    bool   `help:"Wait until the client has acknowledged the message."`
}

// Run puts a message into a queue.
func (cmd *sessionSendCmd) Run(t *terminal) error {
	client, err := cmd.sessions()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.EnqueueMessage, &adminv1.EnqueueMessageRequest{
		ClientId: cmd.ID, Message: &adminv1.Message{Topic: cmd.Topic, Text: cmd.Payload, Qos: cmd.QoS}, Wait: cmd.Wait,
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSONLine(t.out, res)
	}
	switch {
	case res.GetDropped() != "":
		return fmt.Errorf("dropped: %s", strings.ReplaceAll(res.GetDropped(), "_", " "))
	case res.GetReasonCode() >= 0x80:
		return fmt.Errorf("the client refused it: %s", reasonCode(res.GetReasonCode()))
	case res.GetAcknowledged():
		return cmd.done(t, res, "acknowledged")
	case res.GetSent():
		return cmd.done(t, res, "sent")
	default:
		return cmd.done(t, res, "queued")
	}
}
