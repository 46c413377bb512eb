package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type healthCmd struct {
	adminFlags
	Alive   bool          `help:"Ask only whether the process lives, as a liveness probe does."`
	URL     string        `name:"url" help:"Ask the metrics listener, in place of the admin socket." placeholder:"http://HOST:PORT"`
	Timeout time.Duration `help:"How long to wait for the answer." default:"5s"`
}

// Run prints one line and ends with 0 if all is well, else with 1.
func (cmd *healthCmd) Run(t *terminal) error {
	client, base := &http.Client{Transport: new(http.Transport)}, strings.TrimSuffix(cmd.URL, "/")
	if cmd.URL == "" {
		var err error
		if client, err = cmd.httpClient(); err != nil {
			return err
		}
		base = "http://broker"
	} else if u, err := url.Parse(cmd.URL); err != nil || u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("%q: write http://HOST:PORT", cmd.URL)
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), cmd.Timeout)
	defer cancel()
	path := "/readyz?verbose"
	if cmd.Alive {
		path = "/healthz"
	}
	status, body, err := fetch(ctx, client, base+path)
	if err != nil {
		return err
	}
	state := readiness{Ready: status == http.StatusOK}
	if !cmd.Alive {
		if err := json.Unmarshal(body, &state); err != nil {
			return fmt.Errorf("that is no broker's answer: %d %.100q", status, body)
		}
	}
	if err := cmd.print(t, state); err != nil {
		return err
	}
	if !state.Ready || status != http.StatusOK {
		return exitError(1)
	}
	return nil
}

func (cmd *healthCmd) print(t *terminal, state readiness) error {
	switch {
	case cmd.JSON:
		return json.NewEncoder(t.out).Encode(state)
	case cmd.Alive && state.Ready:
		_, err := fmt.Fprintln(t.out, "alive")
		return err
	default:
		_, err := fmt.Fprintln(t.out, state)
		return err
	}
}

// fetch gets a small document.
func fetch(ctx context.Context, client *http.Client, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, body, err
}
