package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Guard keeps away from the API whom it is not for. The zero value keeps nobody
// away: a Unix socket is guarded by its folder.
type Guard struct {
	// Token, if not empty, has to be sent as "Authorization: Bearer TOKEN".
	Token string
	// Web holds requests to what a browser can't be talked into: the Host is an
	// IP address, localhost, or one of Hosts, and an Origin, if there is one, is
	// that host. It is for everything but Unix sockets.
	Web   bool
	Hosts []string
}

// Wrap puts the guard before a handler.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + g.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.Web && !g.isOurs(r.Host) {
			http.Error(w, "this host name is not one of the admin API's; see admin.hosts of the configuration", http.StatusMisdirectedRequest)
			return
		}
		if origin := r.Header.Get("Origin"); g.Web && origin != "" && !sameHost(origin, r.Host) {
			http.Error(w, "the admin API is not for pages of other sites", http.StatusForbidden)
			return
		}
		// Sums have one length, whatever was sent.
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if g.Token != "" && subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="Gatehouse admin API"`)
			http.Error(w, "the admin API wants a token: Authorization: Bearer TOKEN", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs reports whether a Host is a name that nobody else can have made a
// browser believe to be ours.
func (g *Guard) isOurs(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return slices.ContainsFunc(append([]string{"localhost"}, g.Hosts...), func(h string) bool { return strings.EqualFold(h, host) })
}

func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, host)
}
