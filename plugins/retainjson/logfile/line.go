package logfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/internal/messagejson"
)

// The format of the file. A file of a higher schema is left alone; a file of
// this schema may have fields that this program does not know.
const (
	formatName    = "gatehouse-retained"
	schemaVersion = 1
)

// Operations of a line.
const (
	opPut    = "put"
	opDelete = "delete"
	opClear  = "clear"
)

// header is the first line of a file.
type header struct {
	Format string `json:"format"`
	Schema int    `json:"schema"`
	// Revision is the highest that the store had seen when the file was
	// written, Floor that of the last clear before it.
	Revision uint64    `json:"revision"`
	Floor    uint64    `json:"floor"`
	Written  time.Time `json:"written"`
}

// key is what the index needs to know of a line.
type key struct {
	// Batch is [i, n] for the i-th line of a batch of n; absent for a batch
	// of one.
	Batch [2]int `json:"batch,omitzero"`
	Op    string `json:"op"`
	Rev   uint64 `json:"rev"`
	Topic string `json:"topic,omitempty"`
}

// line is one change. The order of its fields is that of the file.
type line struct {
	key

	Text   *string `json:"text,omitempty"`  // payload that is readable
	Base64 []byte  `json:"base64,omitzero"` // payload that is not
	messagejson.Fields
}

// newLine turns a change into a line. An error means that the change cannot
// be written, now or later.
func newLine(c *pluginapi.Change) (*line, error) {
	l := &line{key: key{Rev: c.Revision, Topic: c.Topic}}
	switch c.Op {
	case pluginapi.Clear:
		l.Op, l.Topic = opClear, ""
		return l, nil
	case pluginapi.Delete:
		l.Op = opDelete
	case pluginapi.Put:
		l.Op = opPut
		if err := l.setMessage(c.Message); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("change of unknown kind %d", c.Op)
	}
	if l.Topic == "" || !utf8.ValidString(l.Topic) {
		return nil, fmt.Errorf("topic %q is not valid", l.Topic)
	}
	return l, nil
}

func (l *line) setMessage(m *pluginapi.Message) error {
	if m == nil {
		return errors.New("put without a message")
	}
	l.Topic = m.Topic
	if readable(m.Payload) {
		s := string(m.Payload)
		l.Text = &s
	} else {
		l.Base64 = m.Payload
	}
	var err error
	l.Fields, err = messagejson.Of(m)
	return err
}

// message turns a put back into what was stored.
func (l *line) message() *pluginapi.Message {
	payload := l.Base64
	if l.Text != nil {
		payload = []byte(*l.Text)
	}
	return l.Fields.Message(l.Topic, payload)
}

// readable says whether a payload is text that a person would want to see as
// such; it survives JSON unchanged then.
func readable(p []byte) bool {
	for _, b := range p {
		if b < ' ' && b != '\n' && b != '\t' && b != '\r' {
			return false
		}
	}
	return utf8.Valid(p)
}

// A line ends with its checksum, CRC-32C of everything before ",\"crc\"", so
// that it can be checked without a look at the JSON.
const (
	sumPrefix = `,"crc":"`
	sumSuffix = `"}`
	sumSize   = len(sumPrefix) + 8 + len(sumSuffix)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends v, a JSON object, with its checksum and a newline.
func appendLine(dst *bytes.Buffer, v any) error {
	start := dst.Len()
	enc := json.NewEncoder(dst)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		dst.Truncate(start)
		return fmt.Errorf("encode: %w", err)
	}
	dst.Truncate(dst.Len() - len("}\n"))
	sealLine(dst, start)
	return nil
}

// sealLine appends checksum, brace and newline to the object that begins at
// start and lacks its last brace.
func sealLine(dst *bytes.Buffer, start int) {
	sum := crc32.Checksum(dst.Bytes()[start:], castagnoli)
	fmt.Fprintf(dst, "%s%08x%s\n", sumPrefix, sum, sumSuffix)
}

// intact reports whether a line (without its newline) has a right checksum.
func intact(b []byte) bool {
	cut := len(b) - sumSize
	if cut < 1 || string(b[cut:cut+len(sumPrefix)]) != sumPrefix || string(b[len(b)-len(sumSuffix):]) != sumSuffix {
		return false
	}
	want, err := strconv.ParseUint(string(b[cut+len(sumPrefix):len(b)-len(sumSuffix)]), 16, 32)
	return err == nil && uint32(want) == crc32.Checksum(b[:cut], castagnoli)
}

// batchPrefix begins a line of a batch of more than one.
const batchPrefix = `{"batch":[`

// appendAlone appends an intact line (without its newline) as a batch of one.
func appendAlone(dst *bytes.Buffer, b []byte) {
	if !bytes.HasPrefix(b, []byte(batchPrefix)) {
		dst.Write(b)
		dst.WriteByte('\n')
		return
	}
	start := dst.Len()
	dst.WriteByte('{')
	_, rest, _ := bytes.Cut(b[:len(b)-sumSize], []byte("],"))
	dst.Write(rest)
	sealLine(dst, start)
}
