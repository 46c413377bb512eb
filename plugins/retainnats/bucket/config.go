package bucket

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Config is the configuration of the plugin.
type Config struct {
	URLs              []string      `json:"urls" doc:"servers of the NATS cluster, tried in any order: nats://host:4222, tls://host:4222, ws://host:80 or wss://host:443"`
	Bucket            string        `json:"bucket" doc:"name of the key-value bucket: letters, digits, - and _"`
	Credentials       string        `json:"credentials" doc:"file with the credentials of a NATS user (.creds); none if empty"`
	TLS               TLSConfig     `json:"tls" doc:"how to connect by TLS; servers may ask for it also with nats://"`
	Replicas          int           `json:"replicas" doc:"on how many servers of the cluster the bucket is, 1 to 5"`
	Storage           string        `json:"storage" enum:"file,memory" doc:"where the servers keep the bucket; it can't be changed later"`
	MaxBytes          int64         `json:"max_bytes" doc:"how large the bucket may become; 0: no limit of its own"`
	MaxMessageBytes   int32         `json:"max_message_bytes" doc:"how large a message may be as it is stored; 0: what the server takes"`
	RememberDeletions time.Duration `json:"remember_deletions" doc:"how long a deletion is remembered, so that no older change undoes it; 0s: for ever"`
	Timeout           time.Duration `json:"timeout" doc:"how long to wait for an answer of the server"`
}

// TLSConfig is the part of the configuration about TLS. All of it may be empty.
type TLSConfig struct {
	CA         string `json:"ca" doc:"file with the certificates that the server's is checked against; the system's if empty"`
	Cert       string `json:"cert" doc:"file with the certificate to show to the server"`
	Key        string `json:"key" doc:"file with the key of cert"`
	ServerName string `json:"server_name" doc:"name that the server's certificate is for, if it is not the host of the URL"`
}

// DefaultConfig is the configuration of a server on this machine.
func DefaultConfig() Config {
	return Config{
		URLs:              []string{"nats://127.0.0.1:4222"},
		Bucket:            "gatehouse-retained",
		Replicas:          1,
		Storage:           "file",
		RememberDeletions: 24 * time.Hour,
		Timeout:           5 * time.Second,
	}
}

var bucketSyntax = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,200}$`)

func readConfig(s *pluginapi.Setup) (Config, error) {
	c := DefaultConfig()
	if err := s.Config(&c); err != nil {
		return c, err
	}
	return c, c.check()
}

// check returns all that is wrong.
func (c *Config) check() error {
	var errs []error
	bad := func(path, message string) {
		errs = append(errs, pluginapi.ConfigError{Path: path, Message: message})
	}
	if len(c.URLs) == 0 {
		bad("/urls", "name at least one server")
	}
	for i, raw := range c.URLs {
		if err := checkURL(raw); err != nil {
			bad("/urls/"+strconv.Itoa(i), err.Error())
		}
	}
	if !bucketSyntax.MatchString(c.Bucket) {
		bad("/bucket", "a bucket has a name of letters, digits, - and _")
	}
	if c.Credentials != "" {
		if _, err := os.Stat(c.Credentials); err != nil {
			bad("/credentials", err.Error())
		}
	}
	if _, err := c.TLS.config(); err != nil {
		errs = append(errs, err)
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		bad("/replicas", "must be between 1 and 5")
	}
	if c.MaxBytes < 0 {
		bad("/max_bytes", "must not be negative")
	}
	if c.MaxMessageBytes != 0 && c.MaxMessageBytes < overhead {
		bad("/max_message_bytes", fmt.Sprintf("must be 0 or at least %d", overhead))
	}
	if c.RememberDeletions != 0 && c.RememberDeletions < time.Minute {
		bad("/remember_deletions", "must be 0s or at least 1m")
	}
	if c.Timeout < 100*time.Millisecond {
		bad("/timeout", "must be at least 100ms")
	}
	return errors.Join(errs...)
}

// checkURL never repeats the URL, which may hold a password.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return errors.New("is not a URL; write nats://host:4222")
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
		return nil
	}
	return fmt.Errorf("has the scheme %q; known are nats, tls, ws and wss", u.Scheme)
}

// redacted are the URLs without passwords, for people.
func (c *Config) redacted() string {
	all := make([]string, len(c.URLs))
	for i, raw := range c.URLs {
		if u, err := url.Parse(raw); err == nil {
			all[i] = u.Redacted()
		}
	}
	return strings.Join(all, ", ")
}

// config is nil if nothing is configured: the URLs say then whether TLS is
// used. Its errors are remarks about the configuration.
func (t *TLSConfig) config() (*tls.Config, error) {
	if *t == (TLSConfig{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, pluginapi.ConfigError{Path: "/tls/ca", Message: err.Error()}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, pluginapi.ConfigError{Path: "/tls/ca", Message: fmt.Sprintf("%s holds no certificate in PEM", t.CA)}
		}
	}
	switch {
	case t.Cert == "" && t.Key == "":
		return c, nil
	case t.Key == "":
		return nil, pluginapi.ConfigError{Path: "/tls/key", Message: "is missing, and cert is there"}
	case t.Cert == "":
		return nil, pluginapi.ConfigError{Path: "/tls/cert", Message: "is missing, and key is there"}
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, pluginapi.ConfigError{Path: "/tls/cert", Message: err.Error()}
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
