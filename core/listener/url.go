package listener

import (
	"fmt"
	"net"
	"net/url"
)

// Parse checks a listener's URL without opening it.
func Parse(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("listener %q is not a URL; write tcp://127.0.0.1:1883 or unix:///path", rawURL)
	}
	switch u.Scheme {
	case "tcp", "tls", "ws", "wss":
		if u.Port() == "" {
			return nil, fmt.Errorf("listener %q has no port; write %s://%s:%s", rawURL, u.Scheme, orAny(u.Hostname()), usualPort[u.Scheme])
		}
		web := u.Scheme == "ws" || u.Scheme == "wss"
		if u.Path != "" && u.Path != "/" && !web || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			what := "a host and a port"
			if web {
				what = "a host, a port and a path"
			}
			return nil, fmt.Errorf("listener %q: a %s address is %s, nothing else", rawURL, u.Scheme, what)
		}
	case "unix":
		if u.Host != "" || u.Path == "" {
			return nil, fmt.Errorf("listener %q: write unix:///PATH with three slashes", rawURL)
		}
	default:
		return nil, fmt.Errorf("listener %q: the scheme must be tcp, tls, ws, wss or unix", rawURL)
	}
	return u, nil
}

var usualPort = map[string]string{"tcp": "1883", "tls": "8883", "ws": "8083", "wss": "8084"}

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
