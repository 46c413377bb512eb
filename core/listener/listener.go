package listener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"
)

// Listener is one open address.
type Listener interface {
	net.Listener
	// Name is what configuration and logs call the listener.
	Name() string
	// URL is the address as a client would write it, with the port that was
	// really opened.
	URL() string
	// Transport is the scheme: "tcp" or "unix".
	Transport() string
}

// Options are what an address does not say.
type Options struct {
	// Name is used as the listener's name. Empty means the URL as given.
	Name string
	// SocketMode is the mode of a Unix socket. Zero means 0660.
	SocketMode fs.FileMode
}

// Open opens tcp://HOST:PORT or unix:///PATH. Port 0 takes a free one. A Unix
// socket that a killed broker left is removed; one that somebody listens on is
// an error. The error names the URL and what is wrong with it.
func Open(ctx context.Context, rawURL string, o Options) (Listener, error) {
	u, err := Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = rawURL
	}
	if u.Scheme == "unix" {
		return openUnix(ctx, u.Path, o)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", rawURL, reason(err))
	}
	return &open{Listener: ln, name: o.Name, url: "tcp://" + ln.Addr().String(), transport: "tcp"}, nil
}

// Parse checks a listener's URL without opening it.
func Parse(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("listener %q is not a URL; write tcp://127.0.0.1:1883 or unix:///path", rawURL)
	}
	switch u.Scheme {
	case "tcp":
		if u.Port() == "" {
			return nil, fmt.Errorf("listener %q has no port; write %s://%s:1883", rawURL, u.Scheme, orAny(u.Hostname()))
		}
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
			return nil, fmt.Errorf("listener %q: a tcp address is a host and a port, nothing else", rawURL)
		}
	case "unix":
		if u.Host != "" || u.Path == "" {
			return nil, fmt.Errorf("listener %q: write unix:///PATH with three slashes", rawURL)
		}
	default:
		return nil, fmt.Errorf("listener %q: the scheme must be tcp or unix", rawURL)
	}
	return u, nil
}

// IsLoopback reports whether only programs of this machine can reach a URL that
// [Parse] accepts.
func IsLoopback(u *url.URL) bool {
	if u.Scheme == "unix" || u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

func orAny(host string) string {
	if host == "" {
		return "127.0.0.1"
	}
	return host
}

func openUnix(ctx context.Context, path string, o Options) (Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, fmt.Errorf("listener unix://%s: %w", path, err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listener unix://%s: %w", path, reason(err))
	}
	mode := o.SocketMode
	if mode == 0 {
		mode = 0o660
	}
	if err := os.Chmod(path, mode); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("listener unix://%s: %w", path, err)
	}
	return &open{Listener: ln, name: o.Name, url: "unix://" + path, transport: "unix"}, nil
}

// removeStale removes a socket on which nobody listens any more.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
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
		return os.Remove(path)
	}
	return err
}

// reason shortens net's error to what a person needs beside the URL.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

type open struct {
	net.Listener
	name, url, transport string
}

func (l *open) Name() string      { return l.name }
func (l *open) URL() string       { return l.url }
func (l *open) Transport() string { return l.transport }
