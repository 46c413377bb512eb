package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/term"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type scriptREPLCmd struct {
	adminFlags
	Plugin string `help:"The plugin's name." default:"script"`
}

func (cmd *scriptREPLCmd) Run(t *terminal) error {
	conn, err := cmd.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	prompt := ""
	if f, ok := t.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		prompt = ">>> "
		fmt.Fprintln(t.out, "An expression prints its value. A statement with a colon at its end goes on up to an empty line. Ctrl-D ends it.")
	}
	return converse(t, conn, prompt)
}

// dial connects to the plugin, which has its socket beside the one that the
// broker uses.
func (cmd *scriptREPLCmd) dial() (net.Conn, error) {
	client, err := cmd.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	res, err := client.GetPlugin(ctx, connect.NewRequest(&adminv1.GetPluginRequest{Name: cmd.Plugin}))
	if err != nil {
		return nil, explain(err)
	}
	socket, err := filepath.EvalSymlinks(res.Msg.GetPlugin().GetSocket())
	if err != nil || res.Msg.GetPlugin().GetSocket() == "" {
		return nil, fmt.Errorf("plugin %s does not run", cmd.Plugin)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(filepath.Dir(socket), script.ConsoleSocket))
	if err != nil {
		return nil, fmt.Errorf("plugin %s serves no sessions: set repl: true under plugins.%s.config in the broker's configuration (%w)", cmd.Plugin, cmd.Plugin, err)
	}
	return conn, nil
}

// converse sends what is typed and prints what comes of it.
func converse(t *terminal, conn io.ReadWriter, prompt string) error {
	lines := bufio.NewScanner(t.in)
	lines.Buffer(nil, 1<<20)
	answers := json.NewDecoder(conn)
	for {
		text, more := readInput(t.out, lines, prompt)
		if strings.TrimSpace(text) != "" {
			if err := json.NewEncoder(conn).Encode(script.ConsoleRequest{Text: text}); err != nil {
				return errors.New("the plugin has ended the session: it was replaced or stopped")
			}
			var a script.ConsoleAnswer
			if err := answers.Decode(&a); err != nil {
				return errors.New("the plugin has ended the session: it was replaced or stopped")
			}
			switch {
			case a.Error != "":
				fmt.Fprintf(t.err, "%s%s\n", a.Traceback, a.Error)
			case a.Result != "":
				fmt.Fprintln(t.out, a.Result)
			}
		}
		if !more {
			return lines.Err()
		}
	}
}

// readInput reads one input: a line, or all up to an empty one if the first ends
// with a colon.
func readInput(out io.Writer, lines *bufio.Scanner, prompt string) (text string, more bool) {
	fmt.Fprint(out, prompt)
	if !lines.Scan() {
		return "", false
	}
	text = lines.Text()
	if !strings.HasSuffix(strings.TrimSpace(text), ":") {
		return text, true
	}
	for {
		if prompt != "" {
			fmt.Fprint(out, "... ")
		}
		if !lines.Scan() {
			return text, false
		}
		if strings.TrimSpace(lines.Text()) == "" {
			return text + "\n", true
		}
		text += "\n" + lines.Text()
	}
}
