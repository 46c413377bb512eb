package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// Listener is one open address.
type Listener interface {
	net.Listener
	// Name is what configuration and logs call the listener.
	Name() string
	// URL is the address as a client would write it, with the port that was
	// really opened.
	URL() string
	// Transport is the scheme: "tcp", "tls", "ws", "wss" or "unix".
	Transport() string
}

// Options are what an address does not say.
type Options struct {
	// Name is used as the listener's name. Empty means the URL as given.
	Name string
	// SocketMode is the mode of a Unix socket. Zero means 0660.
	SocketMode fs.FileMode
	// Backlog bounds the connections that the operating system completes and
	// nobody has accepted yet. Zero leaves it to the system.
	Backlog int
	// Inherited is used in place of the URL's host and port, or path: a socket
	// that was open when the program started. The listener closes it.
	Inherited net.Listener

	// TLS is needed for tls and wss, and must not change afterwards; use its
	// GetConfigForClient for what changes.
	TLS *tls.Config
	// WebSocket counts for ws and wss.
	WebSocket WebSocketOptions
	// ProxyFrom are the networks whose connections begin with a PROXY protocol
	// header, of version 1 or 2. Connections from elsewhere begin without one.
	ProxyFrom []netip.Prefix

	// HalfOpenTimeout is how long a TCP peer may acknowledge nothing, neither data
	// nor the probes of a quiet connection, until the connection is given up.
	// Zero means 2 minutes, negative never.
	HalfOpenTimeout time.Duration
	// HandshakeTimeout bounds everything before MQTT. Zero means 10 s.
	HandshakeTimeout time.Duration
	// Handshakes bounds how many connections are so far at once. Zero means
	// 1,024.
	Handshakes int
	// Logger is told of connections that did not get as far as MQTT, and why,
	// at a bounded rate; nil discards.
	Logger *slog.Logger
}

// WebSocketOptions are who may open a WebSocket. The path is that of the URL;
// a URL without one accepts any.
type WebSocketOptions struct {
	// Origins are the web sites, as "https://example.org", whose scripts may
	// connect; "*" in a part of a host name stands for anything, and "*" alone
	// for all sites. The site on the listener's own host always may, and so do
	// programs that are no browsers and send no origin.
	Origins []string
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
}

// Open opens tcp://HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH,
// wss://HOST:PORT/PATH or unix:///PATH. Port 0 takes a free one. No host means
// all addresses of both families, 0.0.0.0 those of IPv4, [::] those of IPv6. A
// Unix socket that a killed broker left is removed; one that somebody listens on
// is an error. The error names the URL and what is wrong with it.
func Open(ctx context.Context, rawURL string, o Options) (Listener, error) {
	u, err := Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if secure(u) && o.TLS == nil {
		return nil, fmt.Errorf("listener %s: it needs a certificate", rawURL)
	}
	if o.Name == "" {
		o.Name = rawURL
	}
	raw, err := openSocket(ctx, u, &o)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", rawURL, reason(err))
	}
	l := &open{name: o.Name, transport: u.Scheme, gated: new(gated)}
	if u.Scheme == "unix" {
		l.url = "unix://" + raw.Addr().String()
	} else {
		l.url = (&url.URL{Scheme: u.Scheme, Host: raw.Addr().String(), Path: u.Path}).String()
	}
	l.Listener = newSpared(raw)
	if steps := steps(u, &o); len(steps) > 0 {
		l.Listener = newHandshaker(l.Listener, steps, l.gated, &o)
	} else {
		l.Listener = gatedListener{l.Listener, l.gated}
	}
	return l, nil
}

// openSocket opens what is accepted from, or takes what was inherited.
func openSocket(ctx context.Context, u *url.URL, o *Options) (net.Listener, error) {
	raw := o.Inherited
	if raw == nil {
		var err error
		if u.Scheme == "unix" {
			raw, err = openUnix(ctx, u.Path, o)
		} else {
			raw, err = new(net.ListenConfig).Listen(ctx, network(u), u.Host)
		}
		if err != nil {
			return nil, err
		}
	} else if unix := raw.Addr().Network() == "unix"; unix != (u.Scheme == "unix") {
		_ = raw.Close()
		return nil, fmt.Errorf("the inherited socket %s does not fit", raw.Addr())
	}
	if tcp, ok := raw.(*net.TCPListener); ok {
		raw = newWary(tcp, o.HalfOpenTimeout)
	}
	if o.Backlog > 0 {
		if err := setBacklog(raw, o.Backlog); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("backlog: %w", err)
		}
	}
	return raw, nil
}

// steps are what a connection goes through before MQTT.
func steps(u *url.URL, o *Options) (list []step) {
	if len(o.ProxyFrom) > 0 {
		list = append(list, step{proxyStep(o.ProxyFrom), o.ProxyFrom})
	}
	if secure(u) {
		list = append(list, step{tlsStep(o.TLS), nil})
	}
	if u.Scheme == "ws" || u.Scheme == "wss" {
		list = append(list, step{webSocketStep(u.Path, &o.WebSocket), o.WebSocket.TrustedProxies})
	}
	return list
}

func secure(u *url.URL) bool { return u.Scheme == "tls" || u.Scheme == "wss" }

// network keeps the families apart that Go's "tcp" mixes: it takes 0.0.0.0 for
// all addresses.
func network(u *url.URL) string {
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		if ip.Is4() {
			return "tcp4"
		}
		return "tcp6"
	}
	return "tcp"
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
	*gated
	name, url, transport string
}

func (l *open) Name() string      { return l.name }
func (l *open) URL() string       { return l.url }
func (l *open) Transport() string { return l.transport }
