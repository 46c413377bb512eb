package hooks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
)

// The interactive session of "broker script repl" is served by the plugin
// itself: what is typed has the scripts, the broker, the scopes and the limits
// that the scripts have. Whoever can open a socket in the plugin's private folder
// can talk to it.

// maxLine bounds what is typed at once.
const maxLine = 1 << 20

// console serves sessions.
type console struct {
	p        *scripts
	listener net.Listener
	cancel   context.CancelFunc
	ended    sync.WaitGroup
}

// openConsole serves on a socket in the folder in which the plugin's own is; nil
// if there is none.
func openConsole(ctx context.Context, p *scripts) *console {
	dir := os.Getenv("PLUGIN_UNIX_SOCKET_DIR")
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, script.ConsoleSocket)
	_ = os.Remove(path) //nolint:gosec // the broker has made the folder
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600) //nolint:gosec // likewise
	}
	if err != nil {
		p.setup.Logger.Warn("there will be no interactive sessions", slog.Any("error", err))
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &console{p: p, listener: l, cancel: cancel}
	c.ended.Go(func() { c.serve(ctx) })
	return c
}

func (c *console) close() {
	if c == nil {
		return
	}
	c.cancel()
	_ = c.listener.Close()
	c.ended.Wait()
}

func (c *console) serve(ctx context.Context) {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.ended.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			defer func() { _ = conn.Close() }()
			c.talk(ctx, conn)
		})
	}
}

// talk answers one session, line by line. It goes on with the scripts that were
// there when it began.
func (c *console) talk(ctx context.Context, conn io.ReadWriter) {
	set, err := c.p.use(ctx)
	if err != nil {
		_ = json.NewEncoder(conn).Encode(script.ConsoleAnswer{Error: err.Error()})
		return
	}
	session := set.NewSession()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var in script.ConsoleRequest
		var out script.ConsoleAnswer
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
			return
		}
		result, err := session.Eval(ctx, in.Text)
		out.Result = result
		if err != nil {
			out.Error = err.Error()
			if f, ok := errors.AsType[*script.Failure](err); ok {
				out.Traceback = f.Traceback
			}
		}
		if json.NewEncoder(conn).Encode(out) != nil {
			return
		}
	}
}
