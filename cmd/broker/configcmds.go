package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type configShowCmd struct{ adminFlags }

// Run prints what is in force.
func (cmd *configShowCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewConfigServiceClient)
	if err != nil {
		return err
	}
	res, err := callAdmin(client.GetConfig, &adminv1.GetConfigRequest{})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSONBlock(t.out, res)
	}
	if file := res.GetFile(); file != "" {
		fmt.Fprintf(t.out, "# %s, in force for %s\n", file, age(res.GetLoadedUnixNanos()))
	}
	_, err = fmt.Fprint(t.out, res.GetYaml())
	return err
}

type configCheckCmd struct {
	adminFlags
	Config string `help:"Check this file, without a broker; else the running broker checks the one that it was started with." placeholder:"FILE"`
}

// Run checks a configuration.
func (cmd *configCheckCmd) Run(t *terminal) error {
	if cmd.Config != "" {
		return (&serveCmd{Config: cmd.Config, CheckConfig: true}).Run(t)
	}
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewConfigServiceClient)
	if err != nil {
		return err
	}
	res, err := callAdmin(client.CheckConfig, &adminv1.CheckConfigRequest{})
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = writeJSONLine(t.out, res)
	} else if res.GetError() == "" {
		_, err = fmt.Fprintln(t.out, "the configuration is good"+restartNote(res.GetNeedsRestart()))
	}
	if res.GetError() != "" {
		return errors.New(res.GetError())
	}
	return err
}

// restartNote names keys that wait for a start.
func restartNote(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return "; at the next start: " + strings.Join(keys, ", ")
}

type configReloadCmd struct{ adminFlags }

// Run has the broker read its configuration again.
func (cmd *configReloadCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewConfigServiceClient)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	res, err := client.ReloadConfig(ctx, &adminv1.ReloadConfigRequest{})
	if err != nil {
		return explain(err)
	}
	if cmd.JSON {
		err = writeJSONLine(t.out, res)
	} else if res.GetError() == "" {
		_, err = fmt.Fprintln(t.out, "the configuration is in force"+restartNote(res.GetNeedsRestart()))
	}
	switch {
	case res.GetRejected():
		return fmt.Errorf("the old configuration stays in force: %s", res.GetError())
	case res.GetError() != "":
		return fmt.Errorf("not all of the configuration is in force: %s", res.GetError())
	}
	return err
}
