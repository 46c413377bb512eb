package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
)

type scriptCmd struct {
	Check scriptCheckCmd `cmd:"" help:"Find what is wrong with scripts without running their hooks."`
	Test  scriptTestCmd  `cmd:"" help:"Run the test_* functions of scripts, and of FILE_test.star beside them."`
	Run   scriptRunCmd   `cmd:"" help:"Call one hook of a script with what is given, and print what came of it."`
	REPL  scriptREPLCmd  `cmd:"" name:"repl" help:"Type lines that the script plugin of a running broker evaluates."`
}

// inFolder takes a path apart: the folder, which a script can't leave, and the
// file in it.
func inFolder(file string) (script.Folder, string) {
	return script.Folder(filepath.Dir(file)), filepath.Base(file)
}

// scriptOptions are those of scripts that run in a command. What they print goes
// to standard error.
func scriptOptions(t *terminal) script.Options {
	log := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	return script.Options{Logger: log, Limits: script.Limits{Time: time.Second, ConnectTime: 5 * time.Second}}
}

// complain prints what is wrong with a script, with its file as it was named.
func complain(t *terminal, file string, err error) {
	dir := filepath.Dir(file)
	for _, f := range script.Failures(err) {
		text := f.Error()
		if f.Place != "" && dir != "." {
			text = filepath.Join(dir, text)
		}
		fmt.Fprintln(t.err, text)
		if f.Traceback != "" {
			fmt.Fprintln(t.err, f.Traceback)
		}
	}
}

type scriptCheckCmd struct {
	Files []string `arg:"" help:"Scripts." name:"file"`
}

func (cmd *scriptCheckCmd) Run(t *terminal) error {
	bad := 0
	for _, file := range cmd.Files {
		folder, name := inFolder(file)
		if err := script.Check(context.Background(), folder, name, scriptOptions(t)); err != nil {
			complain(t, file, err)
			bad++
		}
	}
	if bad > 0 {
		return exitError(1)
	}
	fmt.Fprintf(t.out, "%d scripts, all good\n", len(cmd.Files))
	return nil
}

type scriptTestCmd struct {
	Files   []string `arg:"" help:"Scripts." name:"file"`
	Verbose bool     `short:"v" help:"Show tests that pass, too."`
}

func (cmd *scriptTestCmd) Run(t *terminal) error {
	passed, failed := 0, 0
	for _, file := range cmd.Files {
		folder, name := inFolder(file)
		results, err := script.Test(context.Background(), folder, name, scriptOptions(t))
		if err != nil {
			complain(t, file, err)
			failed++
		}
		for _, r := range results {
			if r.Err == nil {
				passed++
				if cmd.Verbose {
					fmt.Fprintf(t.out, "pass  %s  %s  %v\n", filepath.Join(string(folder), r.File), r.Name, r.Took.Round(time.Microsecond))
				}
				continue
			}
			failed++
			fmt.Fprintf(t.out, "FAIL  %s  %s\n", filepath.Join(string(folder), r.File), r.Name)
			complain(t, file, r.Err)
		}
	}
	fmt.Fprintf(t.out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return exitError(1)
	}
	return nil
}

type scriptRunCmd struct {
	File  string `arg:"" help:"The script."`
	Hook  string `required:"" help:"Which hook: connect, publish, subscribe, unsubscribe, deliver, connected, disconnected, subscribed, unsubscribed, acknowledged, retained."`
	Input string `default:"{}" help:"Fields of its context as JSON; @FILE reads them from a file."`
}

func (cmd *scriptRunCmd) Run(t *terminal) error {
	input := []byte(cmd.Input)
	if cmd.Input != "" && cmd.Input[0] == '@' {
		var err error
		if input, err = os.ReadFile(cmd.Input[1:]); err != nil {
			return err
		}
	}
	folder, name := inFolder(cmd.File)
	trial, err := script.Try(context.Background(), folder, name, cmd.Hook, input, scriptOptions(t))
	if _, ok := errors.AsType[*script.Failure](err); ok {
		complain(t, cmd.File, err)
		return exitError(1)
	}
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(trial, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s\n", text)
	return err
}
