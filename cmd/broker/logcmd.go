package main

import (
	"context"
	"fmt"
	"time"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type logCmd struct {
	Level logLevelCmd `cmd:"" help:"Show the level of the log, or change it while the broker runs."`
}

type logLevelCmd struct {
	adminFlags
	Level string        `arg:"" optional:"" help:"debug, info, warn or error; \"configured\" for what the configuration says. Left out: show it." enum:",debug,info,warn,error,configured" default:""`
	For   time.Duration `help:"How long it holds; left out: until the configuration is read again." placeholder:"10m"`
}

// Run prints the level as it is afterwards.
func (cmd *logLevelCmd) Run(t *terminal) error {
	hc, err := cmd.httpClient()
	if err != nil {
		return err
	}
	client := adminv1connect.NewLogServiceClient(hc, "http://broker")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	level, err := cmd.ask(ctx, client)
	if err != nil {
		return explain(err)
	}
	if cmd.JSON {
		return writeJSONLine(t.out, level)
	}
	text := level.GetLevel()
	if level.GetLevel() != level.GetConfigured() {
		text += "; the configuration says " + level.GetConfigured()
	}
	if until := level.GetUntilUnixNanos(); until != 0 {
		text += ", which holds again from " + time.Unix(0, until).Format(time.TimeOnly)
	}
	_, err = fmt.Fprintln(t.out, text)
	return err
}

func (cmd *logLevelCmd) ask(ctx context.Context, client adminv1connect.LogServiceClient) (*adminv1.LogLevel, error) {
	if cmd.Level == "" {
		out, err := client.GetLogLevel(ctx, &adminv1.GetLogLevelRequest{})
		return out.GetLevel(), err
	}
	req := &adminv1.SetLogLevelRequest{Level: cmd.Level}
	if cmd.Level == "configured" {
		req.Level = ""
	}
	switch {
	case cmd.For < 0 || cmd.For > 0 && cmd.For < time.Second:
		return nil, fmt.Errorf("--for is at least 1s")
	case cmd.For > 366*24*time.Hour:
		return nil, fmt.Errorf("--for is at most a year")
	}
	req.ForSeconds = uint32(cmd.For / time.Second) //nolint:gosec // see above
	out, err := client.SetLogLevel(ctx, req)
	return out.GetLevel(), err
}
