package bucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stored is a message of the stream: what one key holds.
type stored struct {
	key      string
	header   nats.Header
	data     []byte // nil where only headers were asked for
	sequence uint64
	time     time.Time
}

func (m *stored) deleted() bool { return m.header.Get(operationHeader) == operationDelete }

// pullMessages is how many messages are asked for at once.
const pullMessages = 4096

// read calls each for what the keys hold, in the order in which it was written,
// beginning at a sequence of the stream; messages that are written meanwhile
// may or may not be among them. The error is that of each, of ctx, or of
// reading.
func (c *connection) read(ctx context.Context, from uint64, headersOnly bool, each func(*stored) error) error {
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{c.subject + ">"}, HeadersOnly: headersOnly,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(1, from),
		InactiveThreshold: time.Minute, MaxResetAttempts: 3,
	}
	consumer, err := c.js.OrderedConsumer(ctx, c.name, config)
	if err != nil {
		return c.explain(err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(pullMessages))
	if err != nil {
		return c.explain(err)
	}
	defer messages.Stop()
	for {
		pending, err := c.next(ctx, consumer, messages, each)
		if err != nil || !pending {
			return err
		}
	}
}

// next takes one message and reports whether there are more.
func (c *connection) next(ctx context.Context, consumer jetstream.Consumer, messages jetstream.MessagesContext, each func(*stored) error) (pending bool, err error) {
	wait, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	m, err := messages.Next(jetstream.NextContext(wait))
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) && c.nc.IsConnected():
		// What was to come may have expired or have been purged meanwhile.
		info, infoErr := consumer.Info(ctx)
		if infoErr == nil && info.NumPending == 0 {
			return false, nil
		}
		return false, c.explain(errors.Join(err, infoErr))
	case err != nil:
		return false, c.explain(err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return false, fmt.Errorf("message of stream %s can't be placed: %w", c.name, err)
	}
	err = each(&stored{
		key: strings.TrimPrefix(m.Subject(), c.subject), header: m.Headers(), data: m.Data(),
		sequence: meta.Sequence.Stream, time: meta.Timestamp,
	})
	return meta.NumPending > 0, err
}

// head reads the bucket's head. There is none in a new bucket.
func (c *connection) head(ctx context.Context) (h head, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	m, err := c.stream.GetLastMsgForSubject(ctx, c.subject+headKey)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return head{}, false, nil
	}
	if err != nil {
		return head{}, false, c.explain(err)
	}
	h, err = decodeHead(m.Data)
	return h, err == nil, err
}

// purge removes what is below a sequence of the stream.
func (c *connection) purge(ctx context.Context, below uint64) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.explain(c.stream.Purge(ctx, jetstream.WithPurgeSequence(below)))
}
