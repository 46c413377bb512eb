package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"connectrpc.com/connect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

// How much of a payload is shown in a list, and of a single message.
const (
	shownPayload  = 60
	gottenPayload = 4096
)

type retainedListCmd struct {
	listFlags
	Filter   string `arg:"" optional:"" help:"Topic filter; every topic without it."`
	Payloads bool   `help:"With --json: whole payloads, and not only their sizes."`
}

// Run lists retained messages as a table, or as one JSON object for each.
func (cmd *retainedListCmd) Run(t *terminal) error {
	client, err := cmd.retained()
	if err != nil {
		return err
	}
	req := &adminv1.ListRetainedRequest{Filter: cmd.Filter, PayloadBytes: shownPayload}
	if cmd.JSON {
		if req.PayloadBytes = 0; cmd.Payloads {
			req.PayloadBytes = 1 << 30
		}
	}
	return printList(&cmd.listFlags, t, "TOPIC\tQOS\tAGE\tPUBLISHER\tSIZE\tPAYLOAD",
		func(cursor string, n uint32) ([]*adminv1.RetainedMessage, string, error) {
			req.Cursor, req.Limit = cursor, n
			page, err := callAdmin(client.ListRetained, connect.NewRequest(req))
			if err != nil {
				return nil, "", err
			}
			return page.Msg.GetMessages(), page.Msg.GetNextCursor(), nil
		},
		func(m *adminv1.RetainedMessage) []string {
			return []string{
				printable(m.GetTopic()), fmt.Sprint(m.GetQos()), age(m.GetCreatedUnixNanos()), orDash(printable(m.GetPublisher())),
				fmt.Sprint(m.GetPayloadSize()), preview(m),
			}
		})
}

// retained is the client of the service.
func (f *adminFlags) retained() (adminv1connect.RetainedServiceClient, error) {
	hc, err := f.httpClient()
	if err != nil {
		return nil, err
	}
	return adminv1connect.NewRetainedServiceClient(hc, adminBase), nil
}

// preview is the beginning of a payload, as far as it is text.
func preview(m *adminv1.RetainedMessage) string {
	text := string(m.GetPayload())
	cut := uint64(len(m.GetPayload())) < m.GetPayloadSize()
	if cut { // perhaps in the middle of a character
		for i := 0; i < utf8.UTFMax && len(text) > 0 && !utf8.ValidString(text); i++ {
			text = text[:len(text)-1]
		}
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }) {
		text = strconv.QuoteToASCII(string(m.GetPayload()))
	}
	text = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(text)
	if cut {
		text += "..."
	}
	return text
}

// printable is a text of a client's that may go to a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

type retainedGetCmd struct {
	adminFlags
	Topic string `arg:"" help:"The topic."`
	Raw   bool   `help:"Write the payload, and nothing else."`
}

// Run shows one message.
func (cmd *retainedGetCmd) Run(t *terminal) error {
	client, err := cmd.retained()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	res, err := client.GetRetained(ctx, connect.NewRequest(&adminv1.GetRetainedRequest{Topic: cmd.Topic}))
	if err != nil {
		return explain(err)
	}
	m := res.Msg.GetMessage()
	switch {
	case cmd.JSON:
		return writeJSONBlock(t.out, m)
	case cmd.Raw:
		_, err := t.out.Write(m.GetPayload())
		return err
	}
	m.Payload = m.GetPayload()[:min(len(m.GetPayload()), gottenPayload)]
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, row := range retainedRows(m) {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	return w.Flush()
}

func retainedRows(m *adminv1.RetainedMessage) [][2]string {
	rows := [][2]string{
		{"topic", printable(m.GetTopic())},
		{"qos", fmt.Sprint(m.GetQos())},
		{"publisher", orDash(printable(m.GetPublisher())) + " (" + m.GetOrigin() + ")"},
		{"created", time.Unix(0, m.GetCreatedUnixNanos()).Format(time.RFC3339)},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, [2]string{name, printable(value)})
		}
	}
	if n := m.GetExpiresUnixNanos(); n != 0 {
		add("expires", time.Unix(0, n).Format(time.RFC3339))
	}
	add("content type", m.GetContentType())
	add("response topic", m.GetResponseTopic())
	if len(m.GetCorrelationData()) > 0 {
		add("correlation data", fmt.Sprintf("%x", m.GetCorrelationData()))
	}
	for _, u := range m.GetUserProperties() {
		add("user property", u.GetKey()+"="+u.GetValue())
	}
	return append(rows, [2]string{"size", fmt.Sprint(m.GetPayloadSize())}, [2]string{"payload", preview(m)})
}

type retainedDeleteCmd struct {
	adminFlags
	Filter string `arg:"" optional:"" help:"A topic, or a filter for all that match."`
	All    bool   `help:"Delete all retained messages."`
}

// Run deletes messages and says how many those were.
func (cmd *retainedDeleteCmd) Run(t *terminal) error {
	client, err := cmd.retained()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	res, err := client.DeleteRetained(ctx, connect.NewRequest(&adminv1.DeleteRetainedRequest{Filter: cmd.Filter, All: cmd.All}))
	if err != nil {
		return explain(err)
	}
	if cmd.JSON {
		return writeJSONBlock(t.out, res.Msg)
	}
	_, err = fmt.Fprintf(t.out, "%d retained messages deleted\n", res.Msg.GetDeleted())
	return err
}
