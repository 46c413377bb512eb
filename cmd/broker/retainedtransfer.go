package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type retainedPutCmd struct {
	adminFlags
	messageFlags
}

// Run stores one message.
func (cmd *retainedPutCmd) Run(t *terminal) error {
	m, err := cmd.message(t.in)
	if err != nil {
		return err
	}
	client, err := cmd.retained()
	if err != nil {
		return err
	}
	res, err := callAdmin(client.PutRetained, connect.NewRequest(&adminv1.PutRetainedRequest{Message: m}))
	if err != nil {
		return err
	}
	return cmd.done(t, res.Msg, "stored at revision %d", res.Msg.GetRevision())
}

// progress shows how far long work is: a bar on a terminal, nothing elsewhere.
type progress struct {
	out   io.Writer // nil: nobody looks
	told  time.Time
	shown bool
}

func newProgress(t *terminal) *progress {
	f, ok := t.err.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) { //nolint:gosec // a small number
		return new(progress)
	}
	return &progress{out: f}
}

const barWidth = 30

// at is called as often as one likes; total 0 is not known.
func (p *progress) at(done, total uint64, unit string) {
	if p.out == nil || time.Since(p.told) < 100*time.Millisecond {
		return
	}
	p.told, p.shown = time.Now(), true
	if total == 0 {
		fmt.Fprintf(p.out, "\r%d %s\x1b[K", done, unit)
		return
	}
	part := min(1, float64(done)/float64(total))
	n := int(part * barWidth)
	fmt.Fprintf(p.out, "\r[%s%s] %3.0f %%  %d of %d %s\x1b[K", strings.Repeat("=", n), strings.Repeat(" ", barWidth-n), 100*part, done, total, unit)
}

// end removes the bar.
func (p *progress) end() {
	if p.shown {
		p.shown = false
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

type retainedExportCmd struct {
	adminFlags
	Filter string `arg:"" optional:"" help:"Topic filter; every topic without it."`
	Out    string `short:"o" help:"File to write, in place of standard output; it is there when it is complete." placeholder:"FILE"`
}

// Run writes messages, one JSON object a line.
func (cmd *retainedExportCmd) Run(t *terminal) (err error) {
	client, err := cmd.retained()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	out := t.out
	if cmd.Out != "" {
		f, err := os.OpenFile(cmd.Out+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = os.Remove(f.Name()) }() // gone when it was renamed
		defer func() { _ = f.Close() }()
		out = f
	}
	stream, err := client.ExportRetained(ctx, connect.NewRequest(&adminv1.ExportRetainedRequest{Filter: cmd.Filter}))
	if err != nil {
		return explain(err)
	}
	defer func() { _ = stream.Close() }()
	bar, w, n := newProgress(t), bufio.NewWriterSize(out, 64<<10), uint64(0)
	defer bar.end()
	for stream.Receive() {
		for _, m := range stream.Msg().GetMessages() {
			if err := writeJSONLine(w, m); err != nil {
				return err
			}
			n++
		}
		bar.at(n, stream.Msg().GetTotal(), "messages")
	}
	if err := errors.Join(explain(stream.Err()), w.Flush()); err != nil {
		return err
	}
	if cmd.Out == "" {
		return nil
	}
	f, ok := out.(*os.File)
	if !ok {
		return nil
	}
	if err := errors.Join(f.Sync(), f.Close(), os.Rename(f.Name(), cmd.Out)); err != nil {
		return err
	}
	bar.end()
	return cmd.done(t, &adminv1.ImportRetainedResponse{Imported: n}, "%d retained messages written to %s", n, cmd.Out)
}

type retainedImportCmd struct {
	adminFlags
	File string `arg:"" help:"File that \"retained export\" wrote; - for standard input."`
}

// importBytes is about how large a part of an import is, and maxImportLine how
// long a line may be.
const (
	importBytes   = 256 << 10
	maxImportLine = 400 << 20
)

// Run stores messages. Those before a mistake are stored.
func (cmd *retainedImportCmd) Run(t *terminal) error {
	client, err := cmd.retained()
	if err != nil {
		return err
	}
	in, err := t.input(cmd.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	total := uint64(0)
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			total = uint64(info.Size()) //nolint:gosec // not negative
		}
	}
	ctx, stop := interruptible()
	defer stop()
	bar := newProgress(t)
	defer bar.end()
	up := client.ImportRetained(ctx)
	part, size, read := new(adminv1.ImportRetainedRequest), 0, uint64(0)
	bad := eachLine(cmd.File, in, func(line []byte) error {
		read += uint64(len(line)) + 1
		m := new(adminv1.RetainedMessage)
		if err := protojson.Unmarshal(line, m); err != nil {
			return err
		}
		part.Messages = append(part.Messages, m)
		if size += len(line); size < importBytes {
			return nil
		}
		err := up.Send(part)
		bar.at(read, total, "bytes")
		part, size = new(adminv1.ImportRetainedRequest), 0
		return err
	})
	if len(part.GetMessages()) > 0 {
		_ = up.Send(part) // CloseAndReceive knows why
	}
	res, err := up.CloseAndReceive()
	bar.end()
	if err != nil {
		return errors.Join(bad, explain(err))
	}
	if cmd.JSON {
		err = writeJSONLine(t.out, res.Msg)
	} else {
		_, err = fmt.Fprintf(t.out, "%d retained messages imported, %d had expired\n", res.Msg.GetImported(), res.Msg.GetExpired())
	}
	return errors.Join(bad, err)
}
