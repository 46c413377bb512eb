package main

import (
	"errors"
	"fmt"
	"io"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type sharedCmd struct {
	List   sharedListCmd   `cmd:"" help:"List the keys of the shared data."`
	Get    sharedGetCmd    `cmd:"" help:"Write the value of a key."`
	Put    sharedPutCmd    `cmd:"" help:"Set the value of a key."`
	Delete sharedDeleteCmd `cmd:"" help:"Remove a key."`
}

type sharedListCmd struct {
	listFlags
	Prefix string `arg:"" optional:"" help:"Only keys that begin with this."`
	Values bool   `help:"With --json: values too."`
}

// Run lists keys.
func (cmd *sharedListCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewSharedDataServiceClient)
	if err != nil {
		return err
	}
	return printList(&cmd.listFlags, t, "KEY\tVERSION\tSIZE",
		func(cursor string, n uint32) ([]*adminv1.SharedData, string, error) {
			page, err := callAdmin(client.ListSharedData, &adminv1.ListSharedDataRequest{
				Cursor: cursor, Limit: n, Prefix: cmd.Prefix, Values: cmd.Values && cmd.JSON,
			})
			return page.GetEntries(), page.GetNextCursor(), err
		},
		func(e *adminv1.SharedData) []string {
			return []string{printable(e.GetKey()), fmt.Sprint(e.GetVersion()), fmt.Sprint(e.GetSize())}
		})
}

// oneKey names a key.
type oneKey struct {
	adminFlags
	Key string `arg:"" help:"The key."`
}

func (o *oneKey) sharedData() (adminv1connect.SharedDataServiceClient, error) {
	return dialAdmin(&o.adminFlags, adminv1connect.NewSharedDataServiceClient)
}

type sharedGetCmd struct{ oneKey }

// Run writes a value as it is.
func (cmd *sharedGetCmd) Run(t *terminal) error {
	client, err := cmd.sharedData()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.GetSharedData, &adminv1.GetSharedDataRequest{Key: cmd.Key})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSONBlock(t.out, res.GetEntry())
	}
	_, err = t.out.Write(res.GetEntry().GetValue())
	return err
}

type sharedPutCmd struct {
	oneKey
	Value     string  `arg:"" optional:"" help:"The value." xor:"value"`
	Stdin     bool    `help:"Read the value from standard input." xor:"value"`
	IfVersion *uint64 `help:"Only if the key has this version; 0: if it does not exist." placeholder:"N"`
}

// Run sets a value.
func (cmd *sharedPutCmd) Run(t *terminal) error {
	client, err := cmd.sharedData()
	if err != nil {
		return err
	}
	value := []byte(cmd.Value)
	if cmd.Stdin {
		if value, err = readBounded(t.in); err != nil {
			return err
		}
	}
	res, err := callAdmin(client.PutSharedData, &adminv1.PutSharedDataRequest{Key: cmd.Key, Value: value, IfVersion: cmd.IfVersion})
	if err != nil {
		return err
	}
	return cmd.done(t, res, "version %d", res.GetVersion())
}

// maxInput bounds what commands read into memory at once.
const maxInput = 15 << 20

func readBounded(in io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(b) > maxInput {
		return nil, errors.New("the input has more than 15 MiB")
	}
	return b, err
}

type sharedDeleteCmd struct {
	oneKey
	IfVersion *uint64 `help:"Only if the key has this version." placeholder:"N"`
}

// Run removes a key.
func (cmd *sharedDeleteCmd) Run(t *terminal) error {
	client, err := cmd.sharedData()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.DeleteSharedData, &adminv1.DeleteSharedDataRequest{Key: cmd.Key, IfVersion: cmd.IfVersion})
	if err != nil {
		return err
	}
	return cmd.done(t, res, "%s is removed", printable(cmd.Key))
}
