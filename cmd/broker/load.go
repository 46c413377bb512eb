package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// configError is a mistake in the configuration file, with its place.
type configError struct {
	file         string
	line, column int
	message      string
	excerpt      string // the lines around, with a caret
}

func (e *configError) Error() string {
	s := fmt.Sprintf("%s:%d:%d: %s", e.file, e.line, e.column, e.message)
	if e.excerpt != "" {
		s += "\n" + strings.TrimRight(e.excerpt, "\n")
	}
	return s
}

// loadConfig reads and checks a configuration file. An error that concerns its
// text is a *configError.
func loadConfig(path string) (*config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseConfig(path, text)
}

func parseConfig(path string, text []byte) (*config, error) {
	cfg := new(config)
	err := decodeYAML(text, cfg)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlError(path, text, err)
	}
	if err := cfg.check(); err != nil {
		var at *misplaced
		if errors.As(err, &at) {
			return nil, at.locate(path, text)
		}
		return nil, err
	}
	return cfg, nil
}

// decodeYAML survives what the library does not: it panics at some texts, such
// as a tag where a list belongs, and a reload must not end the broker.
func decodeYAML(text []byte, cfg *config) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML reader failed (%v): look for a tag (!) or an anchor (&) where a list or a map belongs", r)
		}
	}()
	if hasVariables(text) {
		return decodeExpanded(text, cfg)
	}
	return yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(cfg)
}

// yamlError turns the library's error into ours.
func yamlError(path string, text []byte, err error) error {
	var ye yaml.Error
	if !errors.As(err, &ye) || ye.GetToken() == nil {
		return &configError{file: path, line: 1, column: 1, message: firstLine(err.Error())}
	}
	return errorAt(path, text, ye.GetToken(), inWords(ye))
}

// inWords is what the library says without Go's names of types.
func inWords(ye yaml.Error) string {
	var wrong *yaml.TypeError
	var much *yaml.OverflowError
	switch {
	case errors.As(ye, &wrong):
		return "write " + kindInWords(wrong.DstType)
	case errors.As(ye, &much):
		return much.SrcNum + " is too large, or negative: write " + kindInWords(much.DstType)
	default:
		return ye.GetMessage()
	}
}

// kindInWords is what has to be written for a type.
func kindInWords(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // those that a configuration has
	case reflect.Bool:
		return "true or false"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Int, reflect.Int64, reflect.Int32:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	case reflect.Pointer:
		return kindInWords(t.Elem())
	default:
		return "keys and values"
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func errorAt(path string, text []byte, tk *token.Token, message string) *configError {
	pos := tk.Position
	return &configError{
		file: path, line: pos.Line, column: pos.Column, message: message,
		excerpt: excerpt(text, pos.Line, pos.Column),
	}
}

// excerpt returns the line with a caret under the column.
func excerpt(text []byte, line, column int) string {
	lines := strings.Split(string(text), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	source := strings.TrimRight(lines[line-1], "\r")
	if len(source) > 200 {
		source = source[:200]
	}
	prefix := fmt.Sprintf("%4d | ", line)
	return prefix + source + "\n" + strings.Repeat(" ", len(prefix)+max(0, column-1)) + "^"
}

// misplaced is a value that YAML accepts and the broker does not. path is a
// YAML path, "$.listeners[0].url".
type misplaced struct {
	path, message string
}

func (m *misplaced) Error() string { return m.path + ": " + m.message }

// locate finds the value in the text. A value that is not written, because a
// default is at fault, stays with its path.
func (m *misplaced) locate(file string, text []byte) error {
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return m
	}
	p, err := yaml.PathString(m.path)
	if err != nil {
		return m
	}
	node, err := p.FilterFile(parsed)
	if err != nil || node == nil {
		return &configError{file: file, line: 1, column: 1, message: m.Error()}
	}
	return errorAt(file, text, firstToken(node), m.message)
}

func firstToken(n ast.Node) *token.Token {
	if mv, ok := n.(*ast.MappingNode); ok && len(mv.Values) > 0 {
		return mv.Values[0].Key.GetToken()
	}
	if mv, ok := n.(*ast.MappingValueNode); ok {
		return mv.Key.GetToken()
	}
	return n.GetToken()
}

var pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// check looks at what the types do not tell. The error is a *misplaced.
func (c *config) check() error {
	if err := checkListeners(c.Listeners); err != nil {
		return err
	}
	if err := oneOf("$.log.level", c.Log.Level, "", "debug", "info", "warn", "error"); err != nil {
		return err
	}
	if err := oneOf("$.log.format", c.Log.Format, "", "text", "json"); err != nil {
		return err
	}
	if err := oneOf("$.limits.queue_overflow", c.Limits.QueueOverflow, "", "drop-oldest", "drop-newest"); err != nil {
		return err
	}
	if err := oneOf("$.mqtt.shared_strategy", c.MQTT.SharedStrategy, "", "round-robin", "sticky", "least-in-flight"); err != nil {
		return err
	}
	if err := c.Sessions.check(&c.Retained); err != nil {
		return err
	}
	if err := c.Metrics.check(); err != nil {
		return err
	}
	if err := c.Traces.check(); err != nil {
		return err
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	if err := c.Admin.check(); err != nil {
		return err
	}
	for name, p := range c.Plugins {
		if !pluginName.MatchString(name) {
			return &misplaced{"$.plugins", fmt.Sprintf("plugin name %q: use lower-case letters, digits and dashes", name)}
		}
		if p.Attach != "" && !strings.HasPrefix(p.Attach, "unix:///") {
			return &misplaced{"$.plugins." + name + ".attach", "write unix:///PATH"}
		}
		if err := p.Shadow.check("$.plugins." + name + ".shadow"); err != nil {
			return err
		}
	}
	return nil
}

// check checks what is at a place of the file; nil is fine.
func (c *shadowConfig) check(at string) error {
	switch {
	case c == nil:
		return nil
	case (c.Path == "") == (c.Attach == ""):
		return &misplaced{at, "give path, or attach, of the second version"}
	case c.Attach != "" && !strings.HasPrefix(c.Attach, "unix:///"):
		return &misplaced{at + ".attach", "write unix:///PATH"}
	default:
		return nil
	}
}

// What a rate can be: the time that one event takes has to be a duration.
const slowestRate, fastestRate = 0.001, 1e9

func (l *limitsConfig) check() error {
	if l.MaxQoS != nil && *l.MaxQoS > 2 {
		return &misplaced{"$.limits.max_qos", "QoS is 0, 1 or 2"}
	}
	for key, d := range map[string]duration{"keep_alive": l.KeepAlive, "min_keep_alive": l.MinKeepAlive} {
		if time.Duration(d) > math.MaxUint16*time.Second {
			return &misplaced{"$.limits." + key, "the longest keep-alive of MQTT is 65535s"}
		}
	}
	if time.Duration(l.SessionExpiry) >= math.MaxUint32*time.Second {
		return &misplaced{"$.limits.session_expiry", "too long; leave it out for sessions that never expire"}
	}
	for key, rate := range map[string]float64{
		"connect_rate": l.ConnectRate, "connect_rate_per_address": l.ConnectRatePerAddress, "messages_per_second": l.MessagesPerSecond,
	} {
		if rate != 0 && !isRate(rate) {
			return &misplaced{"$.limits." + key, wrongRate}
		}
	}
	const largest = 256 << 20
	for key, n := range map[string]size{
		"packet_size": l.PacketSize, "connect_packet_size": l.ConnectPacketSize, "connect_will_size": l.ConnectWillSize,
	} {
		if n > largest || n != 0 && n < 128 {
			return &misplaced{"$.limits." + key, "a packet limit is at least 128B and at most 256MiB"}
		}
	}
	for key, n := range map[string]int{
		"client_id_length": l.ClientIDLength, "user_properties": l.UserProperties, "topic_levels": l.TopicLevels,
		"connections": l.Connections, "sessions": l.Sessions, "retained_messages": l.RetainedMessages,
		"subscriptions_per_client": l.SubscriptionsPerClient, "filters_per_packet": l.FiltersPerPacket,
		"queue_messages": l.QueueMessages, "shared_keys": l.SharedKeys,
		"connections_per_address": l.ConnectionsPerAddress, "connect_burst": l.ConnectBurst,
		"connect_burst_per_address": l.ConnectBurstPerAddress, "authentications": l.Authentications,
		"flapping.connects": l.Flapping.Connects,
	} {
		if n < 0 {
			return &misplaced{"$.limits." + key, "a limit cannot be negative"}
		}
	}
	return nil
}

const wrongRate = "a rate is from 0.001 to 1e9 a second; leave it out for none"

func isRate(r float64) bool { return r >= slowestRate && r <= fastestRate }

func oneOf(path, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return &misplaced{path, fmt.Sprintf("%q is none of %s", value, strings.Join(allowed[1:], ", "))}
}
