package main

import (
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type retainedCmd struct {
	List    retainedListCmd    `cmd:"" help:"List the retained messages."`
	Get     retainedGetCmd     `cmd:"" help:"Show the retained message of a topic."`
	Put     retainedPutCmd     `cmd:"" help:"Store a retained message without publishing it; one without a payload removes the one that there is."`
	Delete  retainedDeleteCmd  `cmd:"" help:"Delete retained messages."`
	Export  retainedExportCmd  `cmd:"" help:"Write retained messages, one JSON object a line."`
	Import  retainedImportCmd  `cmd:"" help:"Store retained messages that were exported."`
	Migrate retainedMigrateCmd `cmd:"" help:"Move the retained messages to another store, while clients go on."`
}

type retainedMigrateCmd struct {
	adminFlags
	Old     string `arg:"" help:"Plugin that keeps the retained messages now; memory if none does." predictor:"plugin"`
	New     string `arg:"" help:"Plugin that is to keep them. What it has is replaced. memory: none is to." predictor:"plugin"`
	Replace bool   `help:"Move also to a store that has newer changes, and drop them."`
}

// tellEvery is how often a person is told how far a move is.
const tellEvery = time.Second

// Run moves the messages. Ctrl-C ends the move, and the old store stays in use.
func (cmd *retainedMigrateCmd) Run(t *terminal) error {
	client, err := cmd.retained()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	stream, err := client.Migrate(ctx, connect.NewRequest(&adminv1.MigrateRequest{From: cmd.Old, To: cmd.New, Replace: cmd.Replace}))
	if err != nil {
		return explain(err)
	}
	defer func() { _ = stream.Close() }()
	var last *adminv1.MigrateResponse
	told, bar := time.Now(), newProgress(t)
	defer bar.end()
	for stream.Receive() {
		last = stream.Msg()
		if bar.out != nil {
			bar.at(last.GetCopied(), last.GetTotal(), "messages")
		} else if time.Since(told) >= tellEvery && last.GetRevision() == 0 {
			told = time.Now()
			fmt.Fprintf(t.err, "copied %d of %d\n", last.GetCopied(), last.GetTotal())
		}
	}
	bar.end()
	if err := stream.Err(); err != nil {
		return fmt.Errorf("nothing was moved, %s is still in use: %w", cmd.Old, explain(err))
	}
	if last.GetRevision() == 0 {
		return errors.New("the broker ended before it told how the move went; \"broker serve\" will use the store that has all")
	}
	if cmd.JSON {
		return writeJSONBlock(t.out, last)
	}
	fmt.Fprintf(t.out, "%d retained messages moved from %s to %s, which is in use since revision %d\n", last.GetTotal(), cmd.Old, cmd.New, last.GetRevision())
	if line := last.GetConfigure(); line != "" {
		fmt.Fprintf(t.out, "now write this into the configuration: %s\n", line)
	}
	return nil
}
