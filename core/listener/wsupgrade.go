package listener

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it; it protects nothing
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxRequest bounds the HTTP request that opens a WebSocket, in bytes.
	maxRequest = 16 << 10
	// webSocketGUID is what RFC 6455 mixes into the answer to a key.
	webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// refusedLinger is how long who was refused is listened to, so that the
	// answer is not lost with a reset.
	refusedLinger = 500 * time.Millisecond
)

// subprotocols are what MQTT calls itself over WebSocket, the best one first:
// "mqtt" by the specifications of 3.1.1 and 5 [MQTT-6.0.0-4], and what clients
// of 3.1 said before there was one.
var subprotocols = []string{"mqtt", "mqttv3.1"}

// webSocketStep answers the HTTP request that opens a WebSocket.
func webSocketStep(at string, o *WebSocketOptions) func(context.Context, net.Conn) (net.Conn, error) {
	return func(_ context.Context, nc net.Conn) (net.Conn, error) {
		head := &head{r: nc, left: maxRequest}
		br := bufio.NewReader(head)
		req, err := http.ReadRequest(br)
		if err != nil {
			if head.left == 0 {
				return nil, answer(nc, &upgradeError{http.StatusRequestHeaderFieldsTooLarge, "the request is too large", ""})
			}
			if wentAway(err) {
				return nil, err
			}
			return nil, answer(nc, &upgradeError{http.StatusBadRequest, "that is no HTTP request", ""})
		}
		protocol, refusal := checkUpgrade(req, at, o.Origins)
		if refusal != nil {
			return nil, answer(nc, refusal)
		}
		accept := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + webSocketGUID)) //nolint:gosec // see above
		if _, err := fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(accept[:]), protocol); err != nil {
			return nil, err
		}
		head.left = -1
		return newWebSocket(nc, br, req, o), nil
	}
}

func newWebSocket(nc net.Conn, br *bufio.Reader, req *http.Request, o *WebSocketOptions) *webSocket {
	c := &webSocket{Conn: nc, br: br, peer: nc.RemoteAddr()}
	if d := Describe(nc); d != nil {
		c.about = *d
	}
	c.about.WebSocket = &WebSocket{
		Path: req.RequestURI, Host: req.Host, Origin: req.Header.Get("Origin"), Header: req.Header,
	}
	if within(o.TrustedProxies, c.peer) {
		if ip, ok := forwardedFor(req.Header.Values("X-Forwarded-For"), o.TrustedProxies); ok {
			c.peer = net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0))
		}
	}
	return c
}

// checkUpgrade returns the subprotocol, or why the request opens no WebSocket.
func checkUpgrade(req *http.Request, at string, origins []string) (protocol string, refusal *upgradeError) {
	refuse := func(status int, reason string, header ...string) (string, *upgradeError) {
		return "", &upgradeError{status, reason, strings.Join(header, "")}
	}
	key, err := base64.StdEncoding.DecodeString(req.Header.Get("Sec-WebSocket-Key"))
	origin := req.Header.Get("Origin")
	switch {
	case at != "" && at != "/" && req.URL.Path != at:
		return refuse(http.StatusNotFound, "there is nothing at this path")
	case req.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "a WebSocket is opened with GET", "Allow: GET")
	case !has(req.Header, "Connection", "upgrade") || !has(req.Header, "Upgrade", "websocket") || !req.ProtoAtLeast(1, 1):
		return refuse(http.StatusUpgradeRequired, "MQTT is spoken here, over WebSocket", "Upgrade: websocket")
	case req.Header.Get("Sec-WebSocket-Version") != "13":
		return refuse(http.StatusUpgradeRequired, "only version 13 of WebSocket is known", "Sec-WebSocket-Version: 13")
	case err != nil || len(key) != 16 || len(req.Header.Values("Sec-WebSocket-Key")) != 1:
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")
	case req.ContentLength != 0 || len(req.TransferEncoding) > 0:
		return refuse(http.StatusBadRequest, "the request must not have a body")
	case !originAllowed(origin, req.Host, origins):
		return refuse(http.StatusForbidden, "the origin "+quoted(origin)+" may not connect")
	}
	offered := strings.Split(strings.Join(req.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	for _, p := range subprotocols {
		if slices.ContainsFunc(offered, func(s string) bool { return strings.TrimSpace(s) == p }) { // upper and lower case differ
			return p, nil
		}
	}
	return refuse(http.StatusBadRequest, "the subprotocol mqtt is not offered") // [MQTT-6.0.0-3]
}

func has(h http.Header, name, token string) bool {
	return httpguts.HeaderValuesContainsToken(h.Values(name), token)
}

// originAllowed reports whether a script of a web site may connect.
func originAllowed(origin, host string, allowed []string) bool {
	if origin == "" {
		return true // no browser
	}
	origin = strings.ToLower(origin)
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, host) {
		return true
	}
	return slices.ContainsFunc(allowed, func(pattern string) bool {
		ok, err := path.Match(strings.ToLower(pattern), origin)
		return pattern == "*" || err == nil && ok
	})
}

// forwardedFor returns the address of the client, as the last proxy that is not
// trusted itself, or the client, was seen by one that is.
func forwardedFor(values []string, trusted []netip.Prefix) (client netip.Addr, ok bool) {
	list := strings.Split(strings.Join(values, ","), ",")
	for _, text := range slices.Backward(list) {
		ip, err := forwardedAddress(strings.TrimSpace(text))
		if err != nil {
			return client, ok // what was written before it is anybody's word
		}
		client, ok = ip, true
		if !contains(trusted, ip) {
			break
		}
	}
	return client, ok
}

// forwardedAddress reads an address, which some proxies write with a port.
func forwardedAddress(text string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap(), nil
	}
	ip, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return ip.Unmap().WithZone(""), err
}

// upgradeError is why no WebSocket was opened, as the client is told.
type upgradeError struct {
	status int
	reason string
	header string // one line, or none
}

func (e *upgradeError) Error() string {
	return fmt.Sprintf("WebSocket: %s (HTTP %d)", e.reason, e.status)
}

// answer tells the client why it is refused, and returns that.
func answer(nc net.Conn, e *upgradeError) error {
	header := ""
	if e.header != "" {
		header = e.header + "\r\n"
	}
	if _, err := fmt.Fprintf(nc, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s\n",
		e.status, http.StatusText(e.status), len(e.reason)+1, header, e.reason); err != nil {
		return errors.Join(e, err)
	}
	linger(nc)
	return e
}

// linger says that nothing more is sent, and forgets what comes: a socket that
// is closed with unread bytes in it is reset, and what was sent may be lost.
func linger(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = nc.SetReadDeadline(time.Now().Add(refusedLinger))
		_, _ = io.CopyN(io.Discard, nc, 4*maxRequest)
	}
}

func quoted(s string) string {
	if len(s) > 128 {
		s = s[:128]
	}
	return fmt.Sprintf("%q", s)
}

// head lets only so much be read until left is negative.
type head struct {
	r    io.Reader
	left int
}

func (h *head) Read(b []byte) (int, error) {
	if h.left < 0 {
		return h.r.Read(b)
	}
	if h.left == 0 {
		return 0, io.EOF
	}
	n, err := h.r.Read(b[:min(len(b), h.left)])
	h.left -= n
	return n, err
}
