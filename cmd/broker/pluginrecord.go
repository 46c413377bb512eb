package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type pluginRecordCmd struct {
	adminFlags
	callFlags
	Name   string `arg:"" help:"The plugin's name." predictor:"plugin"`
	File   string `arg:"" help:"File to write; it must not exist yet."`
	Redact string `help:"What to leave out: secrets (passwords, authentication data, cookies), payloads (those too), or none." enum:"secrets,payloads,none" default:"secrets"`
}

var redactions = map[string]adminv1.Redaction{
	"secrets":  adminv1.Redaction_REDACTION_SECRETS,
	"payloads": adminv1.Redaction_REDACTION_PAYLOADS,
	"none":     adminv1.Redaction_REDACTION_NONE,
}

// Run writes calls of a plugin down until somebody presses Ctrl-C.
func (cmd *pluginRecordCmd) Run(t *terminal) (err error) {
	client, err := cmd.debugClient()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(cmd.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w, began := bufio.NewWriter(f), false
	defer func() {
		err = errors.Join(err, w.Flush(), f.Close())
		if !began {
			err = errors.Join(err, os.Remove(cmd.File))
		}
	}()
	if err := writeCallHeader(w, callHeader{Plugin: cmd.Name, Broker: brokerVersion(), Redaction: cmd.Redact}); err != nil {
		return err
	}
	var n, lost uint64
	defer func() {
		if !began {
			return
		}
		fmt.Fprintf(t.out, "%d calls in %s\n", n, cmd.File)
		if lost > 0 {
			fmt.Fprintf(t.err, "%d calls are not in it: they came faster than they could be written\n", lost)
		}
	}()
	return watch(client, cmd.request(cmd.Name, redactions[cmd.Redact]), cmd.Count,
		func() {
			began = true
			fmt.Fprintln(t.err, "recording; Ctrl-C ends it")
		},
		func(calls []*adminv1.WatchedCall) error {
			n += uint64(len(calls))
			write := func(w io.Writer, c *adminv1.WatchedCall) error { return writeJSONLine(w, c) }
			// What came together is written together, and is in the file then.
			return errors.Join(writeCalls(w, calls, write), w.Flush())
		},
		func(more uint64) { lost += more })
}

// openInput opens a file, or standard input for "-".
func openInput(t *terminal, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(t.in), nil
	}
	return os.Open(name)
}
