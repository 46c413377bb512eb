package interceptor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/plugins/interceptlog/jsonedit"
)

// placeholder is something of a call that a template asks for.
type placeholder uint8

const (
	phNone       placeholder = iota
	phTime                   // {time}: RFC 3339 with milliseconds, UTC
	phUnix                   // {unix}: seconds
	phUnixMillis             // {unix_ms}
	phClient                 // {client}
	phUser                   // {user}
	phTopic                  // {topic}
	phLevel                  // {topic.N}
	phRest                   // {topic.N+}
)

var placeholders = map[string]placeholder{
	"time": phTime, "unix": phUnix, "unix_ms": phUnixMillis,
	"client": phClient, "user": phUser, "topic": phTopic,
}

// template is a text with placeholders.
type template []templatePart

// templatePart is a text, or a placeholder.
type templatePart struct {
	text  string
	what  placeholder
	level int // 1 is the first
}

// parseTemplate reads a template; "{{" and "}}" stand for braces.
func parseTemplate(s string) (template, error) {
	var t template
	var text strings.Builder
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			text.WriteString(s)
			break
		}
		text.WriteString(s[:i])
		brace := s[i]
		s = s[i+1:]
		if s != "" && s[0] == brace {
			text.WriteByte(brace)
			s = s[1:]
			continue
		}
		name, rest, closed := strings.Cut(s, "}")
		if brace == '}' || !closed {
			return nil, errors.New("has a single brace; write {{ or }} for a brace")
		}
		part, err := parsePlaceholder(name)
		if err != nil {
			return nil, err
		}
		t = append(t, templatePart{text: text.String()}, part)
		text.Reset()
		s = rest
	}
	return append(t, templatePart{text: text.String()}), nil
}

func parsePlaceholder(name string) (templatePart, error) {
	if what, ok := placeholders[name]; ok {
		return templatePart{what: what}, nil
	}
	if level, ok := strings.CutPrefix(name, "topic."); ok {
		part := templatePart{what: phLevel}
		if l, rest := strings.CutSuffix(level, "+"); rest {
			level, part.what = l, phRest
		}
		n, err := strconv.Atoi(level)
		if err == nil && n >= 1 {
			part.level = n
			return part, nil
		}
	}
	return templatePart{}, fmt.Errorf(
		"has the unknown placeholder {%s}; known are {time}, {unix}, {unix_ms}, {client}, {user}, {topic}, {topic.N}, {topic.N+}", name)
}

// literal returns the text of a template without placeholders.
func (t template) literal() (string, bool) {
	if len(t) == 1 {
		return t[0].text, true
	}
	return "", false
}

// expand appends the text for a subject.
func (t template) expand(dst []byte, s *subject) []byte {
	for i := range t {
		dst = t[i].expand(append(dst, t[i].text...), s)
	}
	return dst
}

func (p *templatePart) expand(dst []byte, s *subject) []byte {
	switch p.what {
	case phNone:
		return dst
	case phTime:
		return s.time().AppendFormat(dst, timeFormat)
	case phUnix:
		return strconv.AppendInt(dst, s.time().Unix(), 10)
	case phUnixMillis:
		return strconv.AppendInt(dst, s.time().UnixMilli(), 10)
	default:
		return append(dst, p.value(s)...)
	}
}

// timeFormat is RFC 3339 with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// value is what a placeholder other than a time stands for.
func (p *templatePart) value(s *subject) string {
	switch p.what {
	case phClient:
		return s.client
	case phUser:
		return s.user
	case phLevel:
		level, _, _ := strings.Cut(fromLevel(s.topic(), p.level), "/")
		return level
	case phRest:
		return fromLevel(s.topic(), p.level)
	default:
		return s.topic()
	}
}

// fromLevel returns a topic from its n-th level on, "" if it has less.
func fromLevel(topic string, n int) string {
	for ; n > 1; n-- {
		var more bool
		if _, topic, more = strings.Cut(topic, "/"); !more {
			return ""
		}
	}
	return topic
}

// errTopicPart: a client identifier or user name can't be part of a topic.
var errTopicPart = errors.New("client or user is empty or has a /, + or # in it")

// expandTopic appends the text for a subject as a topic: a client identifier
// or a user name is one level or a part of one, never more.
func (t template) expandTopic(dst []byte, s *subject) ([]byte, error) {
	for i := range t {
		p := &t[i]
		dst = append(dst, p.text...)
		if p.what == phClient || p.what == phUser {
			if v := p.value(s); v == "" || strings.ContainsAny(v, "/+#") {
				return nil, errTopicPart
			}
		}
		dst = p.expand(dst, s)
	}
	return dst, nil
}

// jsonTemplate is a JSON value in whose strings there are placeholders.
type jsonTemplate []jsonPart

type jsonPart struct {
	text string   // JSON as it is
	str  template // then a string, unless nil
	num  bool     // the string is one number: it goes without quotes
}

// parseJSONTemplate reads a JSON value. A string that is nothing but {unix} or
// {unix_ms} becomes a number.
func parseJSONTemplate(value json.RawMessage) (jsonTemplate, error) {
	var compact strings.Builder
	var t jsonTemplate
	for i := 0; i < len(value); {
		if value[i] != '"' {
			compact.WriteByte(value[i])
			i++
			continue
		}
		end := jsonedit.StringEnd(value, i)
		var s string
		if err := json.Unmarshal(value[i:end], &s); err != nil {
			return nil, err
		}
		i = end
		str, err := parseTemplate(s)
		if err != nil {
			return nil, err
		}
		num := len(str) == 3 && str[0].text == "" && str[2].text == "" &&
			(str[1].what == phUnix || str[1].what == phUnixMillis)
		t = append(t, jsonPart{text: compact.String(), str: str, num: num})
		compact.Reset()
	}
	return append(t, jsonPart{text: compact.String()}), nil
}

// expand appends the JSON value for a subject.
func (t jsonTemplate) expand(dst []byte, s *subject) []byte {
	for i := range t {
		p := &t[i]
		dst = append(dst, p.text...)
		switch {
		case p.str == nil:
		case p.num:
			dst = p.str.expand(dst, s)
		default:
			if text, ok := p.str.literal(); ok {
				dst = jsonedit.AppendString(dst, text)
				continue
			}
			s.scratch = p.str.expand(s.scratch[:0], s)
			dst = jsonedit.AppendString(dst, string(s.scratch))
		}
	}
	return dst
}

// appendTime appends a moment as JSON in one of the formats of add_timestamp.
func appendTime(dst []byte, format string, at time.Time) []byte {
	switch format {
	case formatUnix:
		return strconv.AppendInt(dst, at.Unix(), 10)
	case formatUnixMillis:
		return strconv.AppendInt(dst, at.UnixMilli(), 10)
	default:
		dst = append(dst, '"')
		dst = at.AppendFormat(dst, timeFormat)
		return append(dst, '"')
	}
}
