package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"github.com/goccy/go-yaml"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type pluginShadowCmd struct {
	adminFlags
	Name   string        `arg:"" help:"The plugin's name." predictor:"plugin"`
	Path   string        `arg:"" optional:"" help:"Folder or program of the second version, or unix:///PATH of one that runs already. Without it, the shadow that there is is followed."`
	Config string        `help:"File with the second version's own configuration, YAML or JSON (default: the plugin's)." placeholder:"FILE"`
	For    time.Duration `help:"End the shadow after so long." placeholder:"TIME"`
	Count  int           `help:"End after so many decisions that differ." placeholder:"N"`
	Detach bool          `help:"Leave the shadow running, and do not follow it."`
	Stop   bool          `help:"End the shadow that there is, and tell what came of it."`
	Redact string        `help:"What to leave out: secrets (passwords, authentication data, cookies) or payloads (those too)." enum:"secrets,payloads" default:"secrets"`
}

// Run has a second version of a plugin asked the same as the one that runs, and
// prints the decisions that differ. The exit status is 1 if any do.
func (cmd *pluginShadowCmd) Run(t *terminal) error {
	hc, err := cmd.httpClient()
	if err != nil {
		return err
	}
	client := adminv1connect.NewShadowServiceClient(hc, "http://broker")
	ctx, stop := interruptible()
	defer stop()
	switch {
	case cmd.Stop && (cmd.Path != "" || cmd.Detach || cmd.For != 0):
		return errors.New("--stop is about the shadow that there is: leave out PATH, --for and --detach")
	case cmd.Stop:
		return cmd.stop(ctx, t, client)
	case cmd.Path == "" && (cmd.Config != "" || cmd.For != 0 || cmd.Detach):
		return errors.New("which second version? PATH is its folder or program")
	case cmd.Path == "":
		return cmd.follow(ctx, t, client, false)
	}
	if err := cmd.start(ctx, t, client); err != nil || cmd.Detach {
		return err
	}
	return cmd.follow(ctx, t, client, true)
}

func (cmd *pluginShadowCmd) start(ctx context.Context, t *terminal, client adminv1connect.ShadowServiceClient) error {
	req := &adminv1.StartShadowRequest{Plugin: cmd.Name, Path: cmd.Path, ForNanos: int64(cmd.For)}
	var err error
	if !strings.HasPrefix(cmd.Path, "unix:") {
		if req.Path, err = filepath.Abs(cmd.Path); err != nil {
			return err
		}
	}
	if req.ConfigJson, err = readPluginConfig(cmd.Config); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	res, err := client.StartShadow(ctx, connect.NewRequest(req))
	if err != nil {
		return explain(err)
	}
	x := res.Msg.GetShadow()
	if cmd.Detach && cmd.JSON {
		return writeJSONBlock(t.out, x)
	}
	ends := "Ctrl-C ends it"
	if cmd.Detach {
		ends = fmt.Sprintf("\"broker plugin shadow %s --stop\" ends it", cmd.Name)
	}
	fmt.Fprintf(t.err, "%s %s is asked the same as %s; %s\n", x.GetPath(), orDash(x.GetVersion()), cmd.Name, ends)
	return nil
}

// follow prints decisions that differ until the shadow ends, somebody presses
// Ctrl-C, or enough was seen; own is one that ends with this command.
func (cmd *pluginShadowCmd) follow(ctx context.Context, t *terminal, client adminv1connect.ShadowServiceClient, own bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.FollowShadow(ctx, connect.NewRequest(&adminv1.FollowShadowRequest{
		Plugin: cmd.Name, Redaction: redactions[cmd.Redact], StopAfter: own,
	}))
	if err != nil {
		return explain(err)
	}
	defer func() { _ = stream.Close() }()
	seen := 0
	for stream.Receive() {
		msg := stream.Msg()
		if n := msg.GetDropped(); n > 0 {
			fmt.Fprintf(t.err, "%d decisions that differ were not shown: they came faster than they could be printed\n", n)
		}
		for _, d := range msg.GetDifferences() {
			if err := cmd.print(t, d); err != nil {
				return err
			}
			if seen++; seen == cmd.Count {
				return cmd.leave(t, client, own)
			}
		}
		if end := msg.GetEnded(); end != nil {
			return cmd.sum(t, end)
		}
	}
	if err := stream.Err(); err != nil && ctx.Err() == nil {
		return explain(err)
	}
	return cmd.leave(t, client, own)
}

// leave ends what this command began, and tells what came of it.
func (cmd *pluginShadowCmd) leave(t *terminal, client adminv1connect.ShadowServiceClient, own bool) error {
	if own {
		return cmd.stop(context.Background(), t, client)
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	res, err := client.GetShadow(ctx, connect.NewRequest(&adminv1.GetShadowRequest{Plugin: cmd.Name}))
	if err != nil {
		return explain(err)
	}
	return cmd.sum(t, res.Msg.GetShadow())
}

func (cmd *pluginShadowCmd) stop(ctx context.Context, t *terminal, client adminv1connect.ShadowServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	res, err := client.StopShadow(ctx, connect.NewRequest(&adminv1.StopShadowRequest{Plugin: cmd.Name}))
	if err != nil {
		return explain(err)
	}
	return cmd.sum(t, res.Msg.GetShadow())
}

func (cmd *pluginShadowCmd) print(t *terminal, d *adminv1.ShadowDifference) error {
	if cmd.JSON {
		return writeJSONLine(t.out, d)
	}
	_, err := fmt.Fprintf(t.out, "%s  %s %s  %s\n", time.Unix(0, d.GetPlugin().GetBeganUnixNanos()).Format("15:04:05.000"),
		cmd.Name, d.GetPlugin().GetHook(), askedText(d.GetPlugin()))
	printAnswer(t.out, "-", d.GetPlugin())
	printAnswer(t.out, "+", d.GetShadow())
	return err
}

// sum tells what came of comparing. The error is the exit status.
func (cmd *pluginShadowCmd) sum(t *terminal, x *adminv1.Shadow) error {
	differ := false
	for _, h := range x.GetHooks() {
		differ = differ || h.GetDiffer() > 0
	}
	if cmd.JSON {
		if err := writeJSONLine(t.out, x); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		for _, row := range shadowRows(x) {
			fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if differ {
		return exitError(1)
	}
	return nil
}

// shadowRows tell about a shadow in rows of two columns.
func shadowRows(x *adminv1.Shadow) [][2]string {
	rows := [][2]string{{"shadow", fmt.Sprintf("%s %s, %s, for %s", x.GetPath(), orDash(x.GetVersion()), stateName(x.GetState()), age(x.GetSinceUnixNanos()))}}
	add := func(format string, args ...any) { rows = append(rows, [2]string{"", fmt.Sprintf(format, args...)}) }
	if x.GetLastFailure() != "" {
		add("started again %d times; last failure: %s", x.GetRestarts(), x.GetLastFailure())
	}
	if len(x.GetHooks()) == 0 {
		add("nothing was compared")
	}
	for _, h := range x.GetHooks() {
		text := fmt.Sprintf("%s: %d decisions are the same, %d differ", h.GetHook(), h.GetSame(), h.GetDiffer())
		if h.GetFailed() > 0 {
			text += fmt.Sprintf(" (%d because the shadow could not decide)", h.GetFailed())
		}
		add("%s", text)
	}
	for _, why := range slices.Sorted(maps.Keys(x.GetLeftOut())) {
		add("not compared: %d (%s)", x.GetLeftOut()[why], why)
	}
	if x.GetEvents() > 0 {
		add("told %d events", x.GetEvents())
	}
	if n := x.GetRefusedChanges(); n > 0 {
		add("it asked the broker to change something %d times, and was refused: a shadow may only read", n)
	}
	return rows
}

// shadowRows tell about the plugin's shadow, if it has one. A broker that knows of
// none has none.
func (cmd *pluginInfoCmd) shadowRows(ctx context.Context) [][2]string {
	hc, err := cmd.httpClient()
	if err != nil {
		return nil
	}
	res, err := adminv1connect.NewShadowServiceClient(hc, "http://broker").GetShadow(ctx, connect.NewRequest(&adminv1.GetShadowRequest{Plugin: cmd.Name}))
	if err != nil {
		return nil
	}
	return shadowRows(res.Msg.GetShadow())
}

// readPluginConfig reads a plugin's own configuration as JSON; nil for "".
func readPluginConfig(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	out, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, nil
}
