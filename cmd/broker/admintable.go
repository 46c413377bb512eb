package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
)

// dialAdmin makes a client of one service.
func dialAdmin[C any](f *adminFlags, newClient func(connect.HTTPClient, string, ...connect.ClientOption) C) (C, error) {
	hc, err := f.httpClient()
	if err != nil {
		var none C
		return none, err
	}
	return newClient(hc, adminBase), nil
}

var _ connect.HTTPClient = (*http.Client)(nil)

// callAdmin makes one call, for as long as a command waits.
func callAdmin[Req, Res any](call func(context.Context, *Req) (*Res, error), req *Req) (*Res, error) {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	res, err := call(ctx, req)
	if err != nil {
		return nil, explain(err)
	}
	return res, nil
}

// listFlags are those of commands that list.
type listFlags struct {
	adminFlags
	Limit int `default:"1000" help:"How many to list; 0 for all."`
}

// printList prints entries page by page: a table with a header for people, an
// object a line for scripts. fetch returns a page of at most n entries and where
// the next begins; row returns the cells of one.
func printList[E proto.Message](f *listFlags, t *terminal, header string,
	fetch func(cursor string, n uint32) (list []E, next string, err error), row func(E) []string,
) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if !f.JSON {
		fmt.Fprintln(w, header)
	}
	cursor, left := "", f.Limit
	for {
		n := maxListPage
		if f.Limit > 0 {
			n = min(n, left)
		}
		list, next, err := fetch(cursor, uint32(n)) //nolint:gosec // more than 0
		if err != nil {
			return err
		}
		for _, e := range list {
			if !f.JSON {
				fmt.Fprintln(w, strings.Join(row(e), "\t"))
			} else if err := writeJSONLine(t.out, e); err != nil {
				return err
			}
		}
		cursor, left = next, left-len(list)
		if cursor == "" || f.Limit > 0 && left <= 0 {
			break
		}
	}
	if cursor != "" && !f.JSON {
		fmt.Fprintf(t.err, "there may be more than %d: --limit 0 lists all\n", f.Limit)
	}
	return w.Flush()
}

const maxListPage = 1000

// printRows prints names and values.
func printRows(out io.Writer, rows [][2]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	return w.Flush()
}

// done says what was done, or answers with the message for scripts.
func (f *adminFlags) done(t *terminal, m proto.Message, format string, args ...any) error {
	if f.JSON {
		return writeJSONLine(t.out, m)
	}
	_, err := fmt.Fprintf(t.out, format+"\n", args...)
	return err
}
