package main

import (
	"context"
	"errors"
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
	adminFlags
	Filter   string `arg:"" optional:"" help:"Topic filter; every topic without it."`
	Limit    int    `default:"1000" help:"How many to list; 0 for all."`
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
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if !cmd.JSON {
		fmt.Fprintln(w, "TOPIC\tQOS\tAGE\tPUBLISHER\tSIZE\tPAYLOAD")
	}
	left, more, err := cmd.Limit, true, error(nil)
	for more && (left > 0 || cmd.Limit == 0) {
		req.Limit = 1000
		if cmd.Limit > 0 {
			req.Limit = uint32(min(left, 1000)) //nolint:gosec // more than 0
		}
		var page *adminv1.ListRetainedResponse
		if page, err = listRetained(client, req); err != nil {
			break
		}
		for _, m := range page.GetMessages() {
			if cmd.JSON {
				err = errors.Join(err, writeJSONLine(t.out, m))
				continue
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%s\n", printable(m.GetTopic()), m.GetQos(), age(m.GetCreatedUnixNanos()),
				orDash(printable(m.GetPublisher())), m.GetPayloadSize(), preview(m))
		}
		left -= len(page.GetMessages())
		req.Cursor = page.GetNextCursor()
		more = req.GetCursor() != ""
	}
	if err == nil && more && !cmd.JSON {
		fmt.Fprintf(t.err, "there are more than %d: --limit 0 lists all\n", cmd.Limit)
	}
	return errors.Join(err, w.Flush())
}

func listRetained(client adminv1connect.RetainedServiceClient, req *adminv1.ListRetainedRequest) (*adminv1.ListRetainedResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	res, err := client.ListRetained(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, explain(err)
	}
	return res.Msg, nil
}

// retained is the client of the service.
func (f *adminFlags) retained() (adminv1connect.RetainedServiceClient, error) {
	hc, err := f.httpClient()
	if err != nil {
		return nil, err
	}
	return adminv1connect.NewRetainedServiceClient(hc, "http://broker"), nil
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
