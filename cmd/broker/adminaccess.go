package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
)

// adminTokenName is the file in the data folder that a token is made in.
const adminTokenName = "admin.token"

// parseAdminURL checks an address of the admin API.
func parseAdminURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		return u, nil
	case (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Port() != "" && strings.Trim(u.Path, "/") == "":
		return u, nil
	}
	return nil, fmt.Errorf("admin address %q: write unix:///PATH, http://127.0.0.1:PORT or https://HOST:PORT", raw)
}

// check looks at what the types do not tell. The error is a *misplaced.
func (c *adminConfig) check() error {
	const at = "$.admin"
	if c.URL == "" {
		switch {
		case c.TokenFile != "":
			return &misplaced{at + ".token_file", "a token is for addresses that are no Unix socket: write url too"}
		case c.TLS != nil:
			return &misplaced{at + ".tls", "write url: https://HOST:PORT too"}
		}
		return nil
	}
	u, err := parseAdminURL(c.URL)
	if err != nil {
		return &misplaced{at + ".url", err.Error()}
	}
	switch {
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return &misplaced{at + ".url", "plain http would show the token to the network: write https:// with a certificate, or http://127.0.0.1:PORT"}
	case u.Scheme == "unix" && c.TokenFile != "":
		return &misplaced{at + ".token_file", "a Unix socket is guarded by its folder, and asks for no token"}
	case u.Scheme != "https" && c.TLS != nil:
		return &misplaced{at + ".tls", "a " + u.Scheme + " address has no TLS; write https://"}
	case u.Scheme == "https" && (c.TLS == nil || len(c.TLS.Certificates) == 0):
		return &misplaced{at + ".url", "https needs a certificate: tls: {certificates: [{certificate: FILE, key: FILE}]}"}
	case c.TLS == nil:
		return nil
	case c.TLS.UsernameFrom != "":
		return &misplaced{at + ".tls.username_from", "the admin API has no user names"}
	}
	return c.TLS.check(at + ".tls")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// adminDoor is an address of the admin API that is open.
type adminDoor struct {
	net.Listener
	guard admin.Guard
	tls   *certificate.Store // nil without TLS
}

// openDoors opens the addresses of the admin API: the one that is configured,
// and the socket in the run folder, where commands look, unless that is another
// one.
func (s *server) openDoors(ctx context.Context) ([]*adminDoor, error) {
	c := s.cfg.Admin
	if s.adminURL != "" {
		c.URL = s.adminURL
		if err := c.check(); err != nil {
			var m *misplaced
			if errors.As(err, &m) {
				return nil, fmt.Errorf("admin address %s: %s", s.adminURL, m.message)
			}
			return nil, err
		}
	}
	var doors []*adminDoor
	if !strings.HasPrefix(c.URL, "unix:") {
		dir, err := filepath.Abs(s.cfg.RunDir)
		if err != nil {
			return nil, err
		}
		d, err := s.openDoor(ctx, &adminConfig{URL: "unix://" + filepath.Join(dir, adminSocketName)})
		if err != nil {
			return nil, err
		}
		doors = append(doors, d)
	}
	if c.URL != "" {
		d, err := s.openDoor(ctx, &c)
		if err != nil {
			for _, other := range doors {
				_ = other.Close()
			}
			return nil, err
		}
		doors = append(doors, d)
	}
	return doors, nil
}

func (s *server) openDoor(ctx context.Context, c *adminConfig) (*adminDoor, error) {
	u, err := parseAdminURL(c.URL)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "unix" {
		ln, err := listener.Open(ctx, c.URL, listener.Options{Name: "admin", SocketMode: 0o600})
		if err != nil {
			return nil, fmt.Errorf("admin API: %w", err)
		}
		return &adminDoor{Listener: ln}, nil
	}
	d := &adminDoor{guard: admin.Guard{Web: true, Hosts: c.Hosts}}
	if u.Scheme == "https" {
		d.guard.Hosts = append([]string{u.Hostname()}, c.Hosts...)
		l := listenerConfig{Name: "admin", URL: c.URL, TLS: c.TLS}
		o := l.certificateOptions(s.log)
		o.Protocols = []string{"h2", "http/1.1"}
		if d.tls, err = certificate.Open(o); err != nil {
			return nil, fmt.Errorf("admin API: %w", err)
		}
	}
	// Who has shown a certificate needs a token only where one is configured.
	if certified := c.TLS != nil && c.TLS.ClientCertificates == "required"; !certified || c.TokenFile != "" {
		if d.guard.Token, err = s.adminToken(c.TokenFile); err != nil {
			return nil, fmt.Errorf("admin API: %w", err)
		}
	}
	if d.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", u.Host); err != nil {
		return nil, fmt.Errorf("admin API: %w", err)
	}
	s.log.Info("admin API open", "url", u.Scheme+"://"+d.Addr().String())
	return d, nil
}

// minToken is the fewest characters that a token may have.
const minToken = 16

// adminToken reads the token from a file, "" for the one in the data folder. A
// file that is not there is made, with a token that nobody has had before.
func (s *server) adminToken(file string) (string, error) {
	if file == "" {
		file = filepath.Join(s.cfg.DataDir, adminTokenName)
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		var b [32]byte
		if _, err := rand.Read(b[:]); err != nil {
			return "", err
		}
		token := hex.EncodeToString(b[:])
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
		s.log.Info("token of the admin API made", "file", file)
		return token, nil
	}
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("token: %s has to hold one word of at least %d characters; remove the file to have one made", file, minToken)
	}
	return token, nil
}

// serve answers on the door until it is shut down.
func (d *adminDoor) serve(srv *http.Server) error {
	if d.tls == nil {
		return srv.Serve(d.Listener)
	}
	srv.TLSConfig = d.tls.Config().Clone()
	srv.TLSConfig.NextProtos = []string{"h2", "http/1.1"}
	return srv.Serve(tls.NewListener(d.Listener, srv.TLSConfig))
}
