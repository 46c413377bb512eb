package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Headers of messages that are published together: the server stores all of
// them or none.
const (
	batchHeader       = "Nats-Batch-Id"
	batchSeqHeader    = "Nats-Batch-Sequence"
	batchCommitHeader = "Nats-Batch-Commit"
)

// lastSequenceHeader has the server refuse a message, or a batch by its first,
// that does not come right after this sequence of the stream.
const lastSequenceHeader = "Nats-Expected-Last-Sequence"

// maxBatch is how many messages a server takes together unless it is configured
// for less.
const maxBatch = 1000

// Codes of errors of the server.
const (
	codeWrongLastSequence = 10071
	codeMaxBytes          = 10077
	codeNoStorage         = 10047
	codeNoResources       = 10023
)

// errOvertaken: something was written after what the writer knows.
var errOvertaken = errors.New("the bucket was written to meanwhile")

// publish stores messages after the sequence last, all or none, and returns the
// sequence of the last of them. The error wraps errOvertaken if last is not the
// last any more. After any other error nobody knows whether they were stored.
func (c *connection) publish(ctx context.Context, msgs []*nats.Msg, last uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	msgs[0].Header.Set(lastSequenceHeader, strconv.FormatUint(last, 10))
	id := nuid.Next()
	for i, m := range msgs {
		if len(msgs) == 1 {
			break
		}
		m.Header.Set(batchHeader, id)
		m.Header.Set(batchSeqHeader, strconv.Itoa(i+1))
		if i == len(msgs)-1 {
			m.Header.Set(batchCommitHeader, "1")
			break
		}
		if err := c.nc.PublishMsg(m); err != nil {
			return 0, c.explain(err)
		}
	}
	reply, err := c.nc.RequestMsgWithContext(ctx, msgs[len(msgs)-1])
	if err != nil {
		return 0, c.explain(err)
	}
	return acknowledged(reply.Data)
}

// acknowledged reads the server's answer to a publication.
func acknowledged(data []byte) (sequence uint64, err error) {
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return 0, fmt.Errorf("answer of the server can't be read: %w", err)
	}
	switch {
	case ack.Error == nil && ack.Sequence > 0:
		return ack.Sequence, nil
	case ack.Error == nil:
		return 0, errors.New("answer of the server has no sequence")
	case ack.Error.ErrorCode == codeWrongLastSequence:
		return 0, fmt.Errorf("%w: %s", errOvertaken, ack.Error.Description)
	case ack.Error.ErrorCode == codeMaxBytes:
		return 0, fmt.Errorf("the server can't store it: %w; if that is its limit, raise max_bytes", ack.Error)
	case ack.Error.ErrorCode == codeNoStorage, ack.Error.ErrorCode == codeNoResources:
		return 0, fmt.Errorf("the server has no room: %w; give its JetStream more storage, or delete retained messages", ack.Error)
	}
	return 0, fmt.Errorf("the server refused it: %w", ack.Error)
}
