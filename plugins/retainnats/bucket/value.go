package bucket

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/internal/messagejson"
)

// Headers of the messages in the bucket's stream.
const (
	// revisionHeader tells a key's revision without a look at its value.
	revisionHeader = "Gatehouse-Revision"
	// operationHeader is that of every NATS bucket: a key with it was deleted.
	operationHeader = "KV-Operation"
	operationDelete = "DEL"
	// ttlHeader has the server remove a message after a while.
	ttlHeader = "Nats-TTL"
)

// value is the first line of what a key holds, a JSON object; the payload of
// the message follows the newline as it is. A deleted key has only the line.
type value struct {
	Rev   uint64 `json:"rev"`
	Topic string `json:"topic"`
	messagejson.Fields
}

// encodeRecord writes a message as a value.
func encodeRecord(m *pluginapi.Message, revision uint64) ([]byte, error) {
	fields, err := messagejson.Of(m)
	if err != nil {
		return nil, err
	}
	return encodeValue(value{Rev: revision, Topic: m.Topic, Fields: fields}, m.Payload)
}

func encodeValue(v value, payload []byte) ([]byte, error) {
	if v.Topic == "" || !utf8.ValidString(v.Topic) {
		return nil, fmt.Errorf("topic %q is not valid", v.Topic)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	b.Write(payload)
	return b.Bytes(), nil
}

// decodeValue reads what a key holds and checks that it is the key's.
func decodeValue(key string, data []byte) (v value, payload []byte, err error) {
	line, payload, ok := bytes.Cut(data, []byte("\n"))
	if !ok {
		return value{}, nil, errors.New("its first line does not end")
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return value{}, nil, fmt.Errorf("its first line is not the JSON of a message: %w", err)
	}
	if topicKey(v.Topic) != key {
		return value{}, nil, fmt.Errorf("it is of topic %q, which has another key", v.Topic)
	}
	return v, payload, nil
}

// The format of the bucket. A bucket of a higher schema is left alone.
const (
	formatName    = "gatehouse-retained"
	schemaVersion = 1
)

// head is what the key of that name holds: what is true of all keys.
type head struct {
	Format string `json:"format"`
	Schema int    `json:"schema"`
	// Revision is the highest that was known when the head was written. A
	// batch that deletes writes it, for what it leaves of a key goes away.
	Revision uint64 `json:"revision"`
	// Floor is the revision of the last clear, and FloorSequence the sequence
	// in the stream below which nothing counts any more.
	Floor         uint64 `json:"floor"`
	FloorSequence uint64 `json:"floor_sequence"`
	// Writer is who may write, and Since when it took the bucket over.
	Writer string    `json:"writer"`
	Since  time.Time `json:"since"`
}

// errForeign: the bucket is not to be touched, for it may hold what somebody
// still needs.
var errForeign = errors.New("not a bucket that this version can read")

func decodeHead(data []byte) (head, error) {
	var h head
	if err := json.Unmarshal(data, &h); err != nil || h.Format != formatName {
		return head{}, fmt.Errorf("%w: its key %q does not name the format %s", errForeign, headKey, formatName)
	}
	if h.Schema < 1 || h.Schema > schemaVersion {
		return head{}, fmt.Errorf("%w: it has schema %d, known is %d; a newer version of the plugin wrote it", errForeign, h.Schema, schemaVersion)
	}
	return h, nil
}

// revisionOf reads the revision of a key's message; false if it is not one of
// ours.
func revisionOf(h nats.Header) (uint64, bool) {
	revision, err := strconv.ParseUint(h.Get(revisionHeader), 10, 64)
	return revision, err == nil
}

// ttl writes how long a server is to keep a message, in whole seconds.
func ttl(d time.Duration) string {
	return strconv.FormatInt(max(1, int64(d/time.Second)), 10) + "s"
}
