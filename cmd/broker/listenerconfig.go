package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// checkListeners looks at what the types do not tell. The error is a
// *misplaced.
func checkListeners(list []listenerConfig) error {
	seen := make(map[string]bool)
	for i := range list {
		l := &list[i]
		at := fmt.Sprintf("$.listeners[%d]", i)
		u, err := listener.Parse(l.URL)
		if err != nil {
			return &misplaced{at + ".url", err.Error()}
		}
		if seen[l.name()] {
			return &misplaced{at, fmt.Sprintf("there are two listeners %q; give each a name of its own", l.name())}
		}
		seen[l.name()] = true
		if err := l.check(at, u); err != nil {
			return err
		}
	}
	return nil
}

// name is what tells a listener from the others.
func (l *listenerConfig) name() string {
	if l.Name == "" {
		return l.URL
	}
	return l.Name
}

func (l *listenerConfig) check(at string, u *url.URL) error {
	secure := u.Scheme == "tls" || u.Scheme == "wss"
	web := u.Scheme == "ws" || u.Scheme == "wss"
	switch {
	case secure && (l.TLS == nil || len(l.TLS.Certificates) == 0):
		return &misplaced{at + ".url", u.Scheme + " needs a certificate: tls: {certificates: [{certificate: FILE, key: FILE}]}"}
	case !secure && l.TLS != nil:
		return &misplaced{at + ".tls", "a " + u.Scheme + " listener has no TLS; write tls:// or wss://"}
	case !web && (len(l.WebSocket.Origins) > 0 || len(l.WebSocket.TrustedProxies) > 0):
		return &misplaced{at + ".websocket", "a " + u.Scheme + " listener has no WebSockets; write ws:// or wss://"}
	case u.Scheme == "unix" && len(l.ProxyProtocol.From) > 0:
		return &misplaced{at + ".proxy_protocol", "the PROXY protocol is for listeners with IP addresses"}
	case l.Backlog < 0 || l.Backlog > math.MaxUint16:
		return &misplaced{at + ".backlog", "a backlog is a number from 1 to 65535"}
	case l.Connections < 0:
		return &misplaced{at + ".connections", "a limit cannot be negative"}
	case l.ConnectRate != 0 && !isRate(l.ConnectRate):
		return &misplaced{at + ".connect_rate", wrongRate}
	case l.ConnectBurst < 0:
		return &misplaced{at + ".connect_burst", "a limit cannot be negative"}
	case l.Handshakes < 0:
		return &misplaced{at + ".handshakes", "a limit cannot be negative"}
	case l.HalfOpenTimeout != nil && *l.HalfOpenTimeout != 0 && time.Duration(*l.HalfOpenTimeout) < 4*time.Second:
		return &misplaced{at + ".half_open_timeout", "it is at least 4s, or 0s for none"}
	case l.Mountpoint != "" && (topic.ValidateName(l.Mountpoint) != nil || l.Mountpoint[0] == '$' || !strings.HasSuffix(l.Mountpoint, "/")):
		return &misplaced{at + ".mountpoint", "a mountpoint is the beginning of a topic that ends with a slash and has no $ in front"}
	}
	if err := oneOf(at+".durability", l.Durability, "", "sync", "interval", "none"); err != nil {
		return err
	}
	if err := l.Limits.check(at + ".limits"); err != nil {
		return err
	}
	if l.TLS != nil {
		return l.TLS.check(at + ".tls")
	}
	return nil
}

func (t *tlsConfig) check(at string) error {
	for i, c := range t.Certificates {
		at := fmt.Sprintf("%s.certificates[%d]", at, i)
		switch {
		case (c.Certificate == "") == (c.PKCS12 == ""):
			return &misplaced{at, "write certificate and key, or pkcs12"}
		case c.PKCS12 != "" && c.Key != "":
			return &misplaced{at + ".key", "a PKCS#12 file has the key in it"}
		case c.PKCS12 == "" && (c.Password != "" || c.PasswordFile != ""):
			return &misplaced{at, "only PKCS#12 files have passwords here; keys in PEM are not encrypted"}
		case c.Password != "" && c.PasswordFile != "":
			return &misplaced{at + ".password", "write password or password_file"}
		}
	}
	if err := oneOf(at+".min_version", t.MinVersion, "", "1.2", "1.3"); err != nil {
		return err
	}
	if err := oneOf(at+".client_certificates", t.ClientCertificates, "", "none", "optional", "required"); err != nil {
		return err
	}
	fields := []string{""}
	for _, f := range broker.CertificateFields {
		fields = append(fields, string(f))
	}
	if err := oneOf(at+".username_from", t.UsernameFrom, fields...); err != nil {
		return err
	}
	asked := t.ClientCertificates == "optional" || t.ClientCertificates == "required"
	switch {
	case asked && len(t.ClientCA) == 0:
		return &misplaced{at + ".client_certificates", "name the authorities that issue them: client_ca: [FILE]"}
	case !asked && len(t.ClientCA) > 0:
		return &misplaced{at + ".client_ca", "clients are not asked for certificates; write client_certificates: required, or optional"}
	case !asked && len(t.CRL) > 0:
		return &misplaced{at + ".crl", "clients are not asked for certificates; write client_certificates: required, or optional"}
	case !asked && t.UsernameFrom != "":
		return &misplaced{at + ".username_from", "clients are not asked for certificates; write client_certificates: required, or optional"}
	}
	return nil
}

func (l *listenerLimitsConfig) check(at string) error {
	switch {
	case l.MaxQoS != nil && *l.MaxQoS > 2:
		return &misplaced{at + ".max_qos", "QoS is 0, 1 or 2"}
	case l.KeepAlive != nil && time.Duration(*l.KeepAlive) > math.MaxUint16*time.Second:
		return &misplaced{at + ".keep_alive", "the longest keep-alive of MQTT is 65535s"}
	case l.SessionExpiry != nil && time.Duration(*l.SessionExpiry) >= math.MaxUint32*time.Second:
		return &misplaced{at + ".session_expiry", "too long; leave it out for sessions that never expire"}
	case l.PacketSize != nil && (*l.PacketSize < 128 || *l.PacketSize > 256<<20):
		return &misplaced{at + ".packet_size", "a packet limit is at least 128B and at most 256MiB"}
	case l.ReceiveMaximum != nil && *l.ReceiveMaximum == 0:
		return &misplaced{at + ".receive_maximum", "it is at least 1"}
	case l.MessagesPerSecond != nil && *l.MessagesPerSecond <= 0:
		return &misplaced{at + ".messages_per_second", "a rate is greater than zero"}
	case l.BytesPerSecond != nil && *l.BytesPerSecond == 0:
		return &misplaced{at + ".bytes_per_second", "a rate is greater than zero"}
	case l.QueueMessages != nil && *l.QueueMessages < 0:
		return &misplaced{at + ".queue_messages", "a limit cannot be negative"}
	case l.SubscriptionsPerClient != nil && *l.SubscriptionsPerClient < 0:
		return &misplaced{at + ".subscriptions_per_client", "a limit cannot be negative"}
	}
	return nil
}

// hookLimits maps the limits; check has seen to it that every value fits.
func (l *listenerLimitsConfig) hookLimits() hook.Limits {
	out := hook.Limits{
		ReceiveMaximum: l.ReceiveMaximum, TopicAliasMaximum: l.TopicAliases, QueueMessages: l.QueueMessages,
		SubscriptionsCount: l.SubscriptionsPerClient, MessagesPerSecond: l.MessagesPerSecond,
	}
	if l.PacketSize != nil {
		out.MaximumPacketSize = new(bytes32(*l.PacketSize))
	}
	if l.MaxQoS != nil {
		out.MaximumQoS = new(mqtt.QoS(*l.MaxQoS))
	}
	if l.KeepAlive != nil {
		out.KeepAlive = new(seconds16(*l.KeepAlive))
	}
	if l.SessionExpiry != nil {
		out.SessionExpiry = new(uint32(time.Duration(*l.SessionExpiry) / time.Second)) //nolint:gosec // checked when loaded
	}
	if l.QueueBytes != nil {
		out.QueueBytes = new(int(*l.QueueBytes))
	}
	if l.BytesPerSecond != nil {
		out.BytesPerSecond = new(float64(*l.BytesPerSecond))
	}
	return out
}

// brokerOptions are what the broker holds for the listener's clients.
func (l *listenerConfig) brokerOptions() broker.ListenerOptions {
	o := broker.ListenerOptions{
		Validators: l.Validators, Mountpoint: l.Mountpoint, Connections: l.Connections, Limits: l.Limits.hookLimits(),
		ConnectRate: admission.Rate{PerSecond: l.ConnectRate, Burst: l.ConnectBurst},
	}
	for _, v := range l.Versions {
		o.Versions = append(o.Versions, mqtt.Version(v))
	}
	if l.Durability != "" {
		d := durabilities[l.Durability]
		o.Durability = &d
	}
	if l.TLS != nil {
		o.UsernameFrom = broker.CertificateField(l.TLS.UsernameFrom)
	}
	return o
}

// socketOptions are what the listener itself is made of.
func (l *listenerConfig) socketOptions(log *slog.Logger) listener.Options {
	o := listener.Options{
		Name: l.name(), Backlog: l.Backlog, HandshakeTimeout: time.Duration(l.HandshakeTimeout), Handshakes: l.Handshakes,
		WebSocket: listener.WebSocketOptions{
			Origins: l.WebSocket.Origins, TrustedProxies: prefixes(l.WebSocket.TrustedProxies),
		},
		ProxyFrom: prefixes(l.ProxyProtocol.From), Logger: log,
	}
	if l.HalfOpenTimeout != nil {
		if o.HalfOpenTimeout = time.Duration(*l.HalfOpenTimeout); o.HalfOpenTimeout == 0 {
			o.HalfOpenTimeout = -1 // 0s in the file switches it off
		}
	}
	return o
}

// certificateOptions are what its TLS is made of.
func (l *listenerConfig) certificateOptions(log *slog.Logger) certificate.Options {
	t := l.TLS
	o := certificate.Options{Name: l.name(), Logger: log, ClientCAs: t.ClientCA, CRLs: t.CRL, Protocols: []string{"mqtt"}}
	if strings.HasPrefix(l.URL, "wss:") {
		o.Protocols = []string{"http/1.1"}
	}
	if t.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	switch t.ClientCertificates {
	case "optional":
		o.Clients = certificate.Optional
	case "required":
		o.Clients = certificate.Required
	}
	for _, c := range t.Certificates {
		o.Pairs = append(o.Pairs, certificate.Pair{
			Certificate: c.Certificate, Key: c.Key, PKCS12: c.PKCS12, Password: c.readPassword,
		})
	}
	return o
}

// checkCertificates reads the certificates of all listeners.
func checkCertificates(list []listenerConfig) error {
	for i := range list {
		if l := &list[i]; l.TLS != nil {
			if err := certificate.Check(l.certificateOptions(nil)); err != nil {
				return fmt.Errorf("listener %s: %w", l.name(), err)
			}
		}
	}
	return nil
}

// readPassword returns the password of a PKCS#12 file.
func (c *certificateConfig) readPassword() (string, error) {
	if c.PasswordFile == "" {
		return c.Password, nil
	}
	b, err := os.ReadFile(c.PasswordFile)
	return strings.TrimRight(string(b), "\r\n"), err
}
