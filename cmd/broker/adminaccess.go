package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

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

// adminConfig is what a configuration says of the admin API, with what the
// command line says.
func (s *server) adminConfig(cfg *config) (adminConfig, error) {
	c := cfg.Admin
	if s.adminURL == "" {
		return c, nil
	}
	c.URL = s.adminURL
	err := c.check()
	var m *misplaced
	if errors.As(err, &m) {
		err = fmt.Errorf("admin address %s: %s", s.adminURL, m.message)
	}
	return c, err
}

// addresses are those that are to be open: the one that is configured, and the
// socket in the run folder, where commands look, unless that is another one.
func (c adminConfig) addresses(runDir string) (list []adminConfig, err error) {
	if !strings.HasPrefix(c.URL, "unix:") {
		dir, err := filepath.Abs(runDir)
		if err != nil {
			return nil, err
		}
		list = append(list, adminConfig{URL: "unix://" + filepath.Join(dir, adminSocketName)})
	}
	if c.URL != "" {
		list = append(list, c)
	}
	return list, nil
}

// guarded says who is let in at an address.
func (s *server) guarded(c *adminConfig) (*admin.Guard, error) {
	u, err := parseAdminURL(c.URL)
	if err != nil || u.Scheme == "unix" {
		return new(admin.Guard), err
	}
	g := &admin.Guard{Web: true, Hosts: c.Hosts}
	if u.Scheme == "https" {
		g.Hosts = append([]string{u.Hostname()}, c.Hosts...)
	}
	// Who has shown a certificate needs a token only where one is configured.
	if certified := c.TLS != nil && c.TLS.ClientCertificates == "required"; !certified || c.TokenFile != "" {
		if g.Token, err = s.adminToken(c.TokenFile); err != nil {
			return nil, fmt.Errorf("admin API: %w", err)
		}
	}
	return g, nil
}

// certificateOptions are those of an https address.
func (c *adminConfig) certificateOptions(log *slog.Logger) certificate.Options {
	l := listenerConfig{Name: "admin", URL: c.URL, TLS: c.TLS}
	o := l.certificateOptions(log)
	o.Protocols = []string{"h2", "http/1.1"}
	return o
}

// adminDoor is an address of the admin API that is open.
type adminDoor struct {
	net.Listener
	config  adminConfig
	tls     *certificate.Store           // nil without TLS
	guarded atomic.Pointer[http.Handler] // the API behind its guard

	srv      *http.Server // nil before it is served
	done     chan error
	unfollow context.CancelFunc // has changes of certificates not be noticed any more
}

// openDoor opens an address, which nobody answers yet.
func (s *server) openDoor(ctx context.Context, c *adminConfig) (*adminDoor, error) {
	u, err := parseAdminURL(c.URL)
	if err != nil {
		return nil, err
	}
	d := &adminDoor{config: *c}
	if u.Scheme == "unix" {
		if d.Listener, err = listener.Open(ctx, c.URL, listener.Options{Name: "admin", SocketMode: 0o600}); err != nil {
			return nil, fmt.Errorf("admin API: %w", err)
		}
		return d, nil
	}
	if u.Scheme == "https" {
		if d.tls, err = certificate.Open(c.certificateOptions(s.log)); err != nil {
			return nil, fmt.Errorf("admin API: %w", err)
		}
	}
	if d.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", u.Host); err != nil {
		return nil, fmt.Errorf("admin API: %w", err)
	}
	s.log.Info("admin API open", "url", u.Scheme+"://"+d.Addr().String())
	return d, nil
}

// ServeHTTP implements [http.Handler].
func (d *adminDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*d.guarded.Load()).ServeHTTP(w, r)
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

// serve answers on the door until it is closed.
func (d *adminDoor) serve() error {
	if d.tls == nil {
		return d.srv.Serve(d.Listener)
	}
	d.srv.TLSConfig = d.tls.Config().Clone()
	d.srv.TLSConfig.NextProtos = []string{"h2", "http/1.1"}
	return d.srv.Serve(tls.NewListener(d.Listener, d.srv.TLSConfig))
}

// close lets who is being answered have a moment.
func (d *adminDoor) close() error {
	if d.srv == nil {
		return d.Listener.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := d.srv.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = d.srv.Close()
	}
	if serr := <-d.done; !errors.Is(serr, http.ErrServerClosed) && !errors.Is(serr, net.ErrClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
