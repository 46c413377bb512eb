package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

type debugCmd struct {
	Profile debugProfileCmd `cmd:"" help:"Write a profile of a running broker, for \"go tool pprof\"."`
}

type debugProfileCmd struct {
	adminFlags
	Kind     string        `arg:"" help:"cpu, heap, allocs, goroutine, or trace (for \"go tool trace\")." enum:"cpu,heap,allocs,goroutine,trace"`
	File     string        `arg:"" help:"The file to write; it must not exist." placeholder:"FILE"`
	Duration time.Duration `help:"How long to look, for cpu and trace." default:"10s"`
}

// Run asks for the profile and writes it.
func (cmd *debugProfileCmd) Run(t *terminal) (err error) {
	ctx, stop := interruptible()
	defer stop()
	client, err := cmd.httpClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	path := cmd.Kind
	switch cmd.Kind {
	case "cpu", "trace":
		seconds := max(1, int(cmd.Duration.Round(time.Second)/time.Second))
		path = map[string]string{"cpu": "profile", "trace": "trace"}[cmd.Kind] + "?seconds=" + strconv.Itoa(seconds)
	case "heap", "allocs":
		path += "?gc=1"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://broker/debug/pprof/"+path, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
		return fmt.Errorf("the broker answers %s: %s", res.Status, text)
	}
	file, err := os.OpenFile(cmd.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(file, res.Body)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(cmd.File)
		return fmt.Errorf("the profile was not read to its end: %w", err)
	}
	tool := "pprof"
	if cmd.Kind == "trace" {
		tool = "trace"
	}
	_, err = fmt.Fprintf(t.out, "%s: %d bytes; look at it with: go tool %s %[1]s\n", cmd.File, n, tool)
	return err
}
