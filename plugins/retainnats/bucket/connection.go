package bucket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connection is what is asked of NATS: one stream, which is the bucket.
type connection struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	stream  jetstream.Stream
	name    string // of the stream
	subject string // what comes before a key
	timeout time.Duration
	servers string // as configured, for people
}

// How a lost connection is noticed and made again.
const (
	pingInterval  = 10 * time.Second
	maxPings      = 2
	reconnectWait = 250 * time.Millisecond
)

// connect connects and finds the bucket, or makes it. The error says what to do.
func connect(ctx context.Context, c *Config, instance string, st *status, log *slog.Logger) (*connection, error) {
	options := []nats.Option{
		nats.Name("gatehouse plugin " + instance),
		nats.Timeout(c.Timeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1), // what can't be sent now fails now: the broker keeps it
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(maxPings),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { st.disconnected(log, err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { st.connected(log, nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Debug("the connection to NATS reports an error", slog.Any("error", err))
		}),
	}
	secure, err := c.TLS.config()
	if err != nil {
		return nil, err
	}
	if secure != nil {
		options = append(options, nats.Secure(secure))
	}
	if c.Credentials != "" {
		options = append(options, nats.UserCredentials(c.Credentials))
	}
	at := &connection{
		name: "KV_" + c.Bucket, subject: "$KV." + c.Bucket + ".", timeout: c.Timeout, servers: c.redacted(),
	}
	if at.nc, err = nats.Options.Connect(natsOptions(c.URLs, options)); err != nil {
		return nil, fmt.Errorf("NATS at %s can't be reached: %w; is the server running, and may this user connect?", at.servers, err)
	}
	if at.js, err = jetstream.New(at.nc); err == nil {
		err = at.openStream(ctx, c, log)
	}
	if err != nil {
		at.nc.Close()
		return nil, err
	}
	return at, nil
}

func natsOptions(urls []string, options []nats.Option) nats.Options {
	o := nats.GetDefaultOptions()
	o.Servers = urls
	for _, set := range options {
		_ = set(&o) // those that are set have no error to return
	}
	return o
}

// openStream finds the stream, makes it, or changes it to what is wanted.
func (c *connection) openStream(ctx context.Context, config *Config, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, c.name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		log.Info("bucket does not exist and is made", slog.String("bucket", config.Bucket))
		stream, err = c.js.CreateStream(ctx, c.streamConfig(config, jetstream.StreamConfig{}))
	case err == nil:
		is := stream.CachedInfo().Config
		if is.MaxMsgsPerSubject > 1 {
			return fmt.Errorf("bucket %s: it keeps %d values of each key, and one is wanted: choose another bucket, or \"nats stream edit %s --max-msgs-per-subject 1\"",
				config.Bucket, is.MaxMsgsPerSubject, c.name)
		}
		if want := c.streamConfig(config, is); differs(&want, &is) {
			log.Info("bucket is changed to what is configured", slog.String("bucket", config.Bucket))
			stream, err = c.js.UpdateStream(ctx, want)
		}
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("NATS at %s has no JetStream for this user: enable it in the server's configuration (\"jetstream {}\") and for the account: %w", c.servers, err)
	case err != nil:
		return fmt.Errorf("bucket %s can't be opened: %w", config.Bucket, err)
	}
	if got := stream.CachedInfo().Config; !got.AllowAtomicPublish || !got.AllowMsgTTL {
		return fmt.Errorf("NATS at %s is version %s, and 2.12 is the first that can write several keys at once", c.servers, c.nc.ConnectedServerVersion())
	}
	c.stream = stream
	return nil
}

// streamConfig is what the stream should be: a bucket of NATS with atomic
// batches and expiring deletions. What is nobody's business here stays as it is.
func (c *connection) streamConfig(config *Config, is jetstream.StreamConfig) jetstream.StreamConfig {
	if is.Name == "" {
		is = jetstream.StreamConfig{
			Name: c.name, Description: "retained messages of a Gatehouse broker",
			Subjects: []string{c.subject + ">"}, Storage: jetstream.FileStorage,
			MaxMsgs: -1, MaxConsumers: -1, DenyDelete: true, AllowRollup: true, AllowDirect: true,
		}
		if config.Storage == "memory" {
			is.Storage = jetstream.MemoryStorage
		}
	}
	is.MaxMsgsPerSubject, is.Discard = 1, jetstream.DiscardNew
	is.AllowAtomicPublish, is.AllowMsgTTL = true, true
	is.Replicas = config.Replicas
	is.MaxBytes, is.MaxMsgSize = unlimited(config.MaxBytes), unlimited(config.MaxMessageBytes)
	return is
}

// unlimited writes no limit as NATS does.
func unlimited[T int32 | int64](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

func differs(a, b *jetstream.StreamConfig) bool {
	return a.MaxMsgsPerSubject != b.MaxMsgsPerSubject || a.Discard != b.Discard || a.Replicas != b.Replicas ||
		a.MaxBytes != b.MaxBytes || a.MaxMsgSize != b.MaxMsgSize ||
		a.AllowAtomicPublish != b.AllowAtomicPublish || a.AllowMsgTTL != b.AllowMsgTTL
}

// info asks for the state of the stream.
func (c *connection) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	info, err := c.stream.Info(ctx)
	return info, c.explain(err)
}

// explain says of an error of NATS what it means.
func (c *connection) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected), !c.nc.IsConnected():
		return fmt.Errorf("NATS at %s is away: %w", c.servers, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("NATS at %s did not answer within %s: %w", c.servers, c.timeout, err)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("nobody at NATS keeps stream %s at the moment: its servers are starting, have no leader, or it was deleted: %w", c.name, err)
	}
	return err
}

// largest is how many bytes a message may have as it is stored, with headers.
func (c *connection) largest(config *Config) int {
	n := int(c.nc.MaxPayload())
	if m := int(config.MaxMessageBytes); m > 0 {
		n = min(n, m)
	}
	return n
}
