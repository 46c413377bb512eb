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

	Text          *string     `json:"text,omitempty"`  // payload that is readable
	Base64        []byte      `json:"base64,omitzero"` // payload that is not
	QoS           uint8       `json:"qos,omitempty"`
	Retain        bool        `json:"retain,omitempty"`
	Created       time.Time   `json:"created,omitzero"`
	Expiry        *uint32     `json:"expiry,omitempty"` // seconds after Created
	UTF8          *bool       `json:"utf8,omitempty"`
	ContentType   string      `json:"content_type,omitempty"`
	ResponseTopic string      `json:"response_topic,omitempty"`
	Correlation   []byte      `json:"correlation,omitzero"`
	User          [][2]string `json:"user,omitempty"`
	Publisher     string      `json:"publisher,omitempty"`
	Origin        string      `json:"origin,omitempty"`
}

var originNames = map[pluginapi.Origin]string{
	pluginapi.FromClient: "client",
	pluginapi.FromWill:   "will",
	pluginapi.FromServer: "server",
	pluginapi.FromPlugin: "plugin",
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
	l.QoS, l.Retain = uint8(m.QoS), m.Retain
	l.Created, l.Expiry = m.Created.UTC(), m.Expiry
	l.UTF8, l.ContentType = m.PayloadIsUTF8, m.ContentType
	l.ResponseTopic, l.Correlation = m.ResponseTopic, m.CorrelationData
	l.Publisher, l.Origin = m.Publisher, originName(m.Origin)
	valid := utf8.ValidString(m.ContentType) && utf8.ValidString(m.ResponseTopic) && utf8.ValidString(m.Publisher)
	for _, u := range m.UserProperties {
		l.User = append(l.User, [2]string{u.Key, u.Value})
		valid = valid && utf8.ValidString(u.Key) && utf8.ValidString(u.Value)
	}
	if !valid {
		return fmt.Errorf("message to %q has a string that is not valid UTF-8", m.Topic)
	}
	return nil
}

// message turns a put back into what was stored.
func (l *line) message() *pluginapi.Message {
	m := &pluginapi.Message{
		Topic:           l.Topic,
		Payload:         l.Base64,
		QoS:             pluginapi.QoS(l.QoS),
		Retain:          l.Retain,
		PayloadIsUTF8:   l.UTF8,
		Expiry:          l.Expiry,
		ContentType:     l.ContentType,
		ResponseTopic:   l.ResponseTopic,
		CorrelationData: l.Correlation,
		Publisher:       l.Publisher,
		Created:         l.Created,
	}
	if l.Text != nil {
		m.Payload = []byte(*l.Text)
	}
	m.PayloadSize = len(m.Payload)
	for _, u := range l.User {
		m.UserProperties = append(m.UserProperties, pluginapi.UserProperty{Key: u[0], Value: u[1]})
	}
	m.Origin = parseOrigin(l.Origin)
	return m
}

func originName(o pluginapi.Origin) string {
	if s, ok := originNames[o]; ok || o == 0 {
		return s
	}
	return strconv.Itoa(int(o))
}

// parseOrigin returns 0 for a name that it does not know.
func parseOrigin(s string) pluginapi.Origin {
	for o, name := range originNames {
		if s == name {
			return o
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0
	}
	return pluginapi.Origin(n)
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
