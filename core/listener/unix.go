package listener

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
)

func openUnix(ctx context.Context, path string, o *Options) (net.Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	mode := o.SocketMode
	if mode == 0 {
		mode = 0o660
	}
	if err := os.Chmod(path, mode); err != nil { //nolint:gosec // the path is the configuration's
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}

// removeStale removes a socket on which nobody listens any more.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path) //nolint:gosec // see above
	if err != nil {
		return nil //nolint:nilerr // nothing is there: nothing to remove
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("the path exists and is not a socket")
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
		return errors.New("somebody else listens on it already")
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path) //nolint:gosec // see above
	}
	return err
}
