package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// changeTimeout bounds a change of one plugin: an old instance may answer for
// half a minute what it has, and a new one takes its start_timeout.
const changeTimeout = 2 * time.Minute

type pluginReloadCmd struct {
	adminFlags
	Name string `arg:"" help:"The plugin's name." predictor:"plugin"`
}

// Run replaces a plugin and says by what.
func (cmd *pluginReloadCmd) Run(t *terminal) error {
	client, err := cmd.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	res, err := client.ReloadPlugin(ctx, connect.NewRequest(&adminv1.ReloadPluginRequest{Name: cmd.Name}))
	if err != nil {
		return explain(err)
	}
	return cmd.tell(t, res.Msg.GetPlugin())
}

type pluginEnableCmd struct {
	adminFlags
	Name string `arg:"" help:"The plugin's name." predictor:"plugin"`
}

// Run enables a plugin.
func (cmd *pluginEnableCmd) Run(t *terminal) error {
	client, err := cmd.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	res, err := client.EnablePlugin(ctx, connect.NewRequest(&adminv1.EnablePluginRequest{Name: cmd.Name}))
	if err != nil {
		return explain(err)
	}
	return cmd.tell(t, res.Msg.GetPlugin())
}

type pluginDisableCmd struct {
	adminFlags
	Name string `arg:"" help:"The plugin's name." predictor:"plugin"`
}

// Run disables a plugin.
func (cmd *pluginDisableCmd) Run(t *terminal) error {
	client, err := cmd.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	res, err := client.DisablePlugin(ctx, connect.NewRequest(&adminv1.DisablePluginRequest{Name: cmd.Name}))
	if err != nil {
		return explain(err)
	}
	return cmd.tell(t, res.Msg.GetPlugin())
}

// tell says in one line what a plugin is now.
func (f *adminFlags) tell(t *terminal, p *adminv1.Plugin) error {
	if f.JSON {
		return writeJSONBlock(t.out, p)
	}
	line := fmt.Sprintf("%s %s is %s", p.GetName(), orDash(p.GetVersion()), stateName(p.GetState()))
	if p.GetPid() != 0 {
		line += fmt.Sprintf(" (pid %d)", p.GetPid())
	}
	_, err := fmt.Fprintln(t.out, line)
	return err
}

// ReloadPlugin implements admin.Changer.
func (s *server) ReloadPlugin(ctx context.Context, name string) error {
	return changed(s.host.Reload(ctx, name))
}

// EnablePlugin implements admin.Changer.
func (s *server) EnablePlugin(ctx context.Context, name string) error {
	return changed(s.host.Enable(ctx, name))
}

// DisablePlugin implements admin.Changer.
func (s *server) DisablePlugin(ctx context.Context, name string) error {
	return changed(s.host.Disable(ctx, name))
}

// changed puts the host's errors into the words of the admin API.
func changed(err error) error {
	if errors.Is(err, pluginhost.ErrUnknown) {
		return &unknownPlugin{err}
	}
	return err
}

// unknownPlugin reads as the host's error and is the admin API's.
type unknownPlugin struct{ error }

// Unwrap makes it admin.ErrUnknown.
func (*unknownPlugin) Unwrap() error { return admin.ErrUnknown }
