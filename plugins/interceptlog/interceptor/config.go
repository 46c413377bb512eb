package interceptor

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Config is the configuration of the plugin.
type Config struct {
	Log   LogConfig    `json:"log" doc:"what is logged"`
	Rules []RuleConfig `json:"rules" doc:"rules in their order; the first that matches ends it, unless it says continue"`
}

// LogConfig says what is logged, and where.
type LogConfig struct {
	Enabled     bool     `json:"enabled" doc:"whether anything is logged"`
	Events      []string `json:"events" enum:"connected,disconnected,refused,session_created,session_resumed,session_taken_over,session_expired,subscribed,unsubscribed,published,delivered,acknowledged,dropped,not_consumed,retained_changed,retained_cleared,will_sent" doc:"the events to log"`
	Topics      []string `json:"topics" doc:"topic filters: messages on other topics are left out; empty for all"`
	Fields      []string `json:"fields" doc:"the fields to write, in their order; empty for all that an event has"`
	Payload     string   `json:"payload" enum:"none,head,full" doc:"how much of a payload to write"`
	PayloadHead int      `json:"payload_head" doc:"with payload: head, how many bytes"`
	Encoding    string   `json:"encoding" enum:"auto,text,base64" doc:"how to write payloads; auto is text where it is readable"`
	File        string   `json:"file" doc:"a file of JSON lines; a relative path is one in the plugin's data folder; empty for the broker's log"`
	MaxBytes    int64    `json:"max_bytes" doc:"size at which the file is rotated"`
	Keep        int      `json:"keep" doc:"how many rotated files to keep"`
	Rate        int      `json:"rate" doc:"lines per second that go to the broker's log; what is more is counted"`
}

// RuleConfig is one rule.
type RuleConfig struct {
	Name      string         `json:"name" doc:"what the rule is called in metrics and reasons; its number if empty"`
	On        string         `json:"on" enum:"publish,subscribe,deliver" doc:"what the rule is about; publish if empty"`
	Match     MatchConfig    `json:"match" doc:"to what the rule applies; everything if empty"`
	Actions   []ActionConfig `json:"actions" required:"true" doc:"what is done, in this order"`
	OnBadJSON string         `json:"on_bad_json" enum:"pass,drop,refuse" doc:"what happens if an action needs JSON and the payload is none: pass (the default) skips the rule"`
	Continue  bool           `json:"continue" doc:"go on with the next rule"`
}

// MatchConfig says to what a rule applies. All that is given has to match.
type MatchConfig struct {
	Topic  oneOrMore `json:"topic" doc:"topic filter, or a list of them"`
	Client oneOrMore `json:"client" doc:"client identifier, with * and ?, or a list: the publisher, the subscriber or the receiver"`
	User   oneOrMore `json:"user" doc:"its user name, with * and ?, or a list"`
	Origin oneOrMore `json:"origin" doc:"who made the message: client, will, server or plugin, or a list"`
	QoS    []int     `json:"qos" doc:"quality of service of the message or the subscription"`
	Retain *bool     `json:"retain" doc:"the RETAIN flag of the message"`
}

// ActionConfig is one action: exactly one of the fields is given.
type ActionConfig struct {
	SetPayload         *PayloadConfig   `json:"set_payload" doc:"replace the payload"`
	SetJSON            *FieldConfig     `json:"set_json" doc:"set a field of a JSON payload"`
	DeleteJSON         *string          `json:"delete_json" doc:"remove the field at this path from a JSON payload"`
	AddTimestamp       *TimestampConfig `json:"add_timestamp" doc:"set a field of a JSON payload to the time"`
	SetUserProperty    *PropertyConfig  `json:"set_user_property" doc:"set a user property, in the place of all with its key"`
	AddUserProperty    *PropertyConfig  `json:"add_user_property" doc:"add a user property"`
	RemoveUserProperty *string          `json:"remove_user_property" doc:"remove all user properties with this key"`
	SetTopic           *string          `json:"set_topic" doc:"another topic, or another filter of a subscription; a template"`
	SetQoS             *int             `json:"set_qos" doc:"quality of service; that of a subscription or a delivery can only be lowered"`
	SetRetain          *bool            `json:"set_retain" doc:"the RETAIN flag"`
	Drop               *bool            `json:"drop" doc:"true: go no further, and tell the client that all is well"`
	Refuse             *EndConfig       `json:"refuse" doc:"go no further, and tell the client why"`
	Disconnect         *EndConfig       `json:"disconnect" doc:"go no further, and disconnect the client"`
}

// PayloadConfig is a payload: exactly one of the fields is given.
type PayloadConfig struct {
	Text     *string `json:"text" doc:"as it is"`
	Base64   *string `json:"base64" doc:"in base64"`
	Template *string `json:"template" doc:"a template"`
}

// FieldConfig is a field of a JSON payload.
type FieldConfig struct {
	Path  string          `json:"path" required:"true" doc:"names joined by dots"`
	Value json.RawMessage `json:"value" required:"true" doc:"any JSON but null; strings in it are templates"`
}

// TimestampConfig is where the time goes.
type TimestampConfig struct {
	Path   string `json:"path" required:"true" doc:"names joined by dots"`
	Format string `json:"format" enum:"rfc3339,unix,unix_ms" doc:"rfc3339 if empty"`
}

// PropertyConfig is a user property.
type PropertyConfig struct {
	Key   string `json:"key" required:"true" doc:"its key"`
	Value string `json:"value" doc:"its value; a template"`
}

// EndConfig is what a client is told in the end.
type EndConfig struct {
	Code   reasonCode `json:"code" doc:"reason code: a number, or its name as in the specification"`
	Reason string     `json:"reason" doc:"reason string for clients of MQTT 5"`
}

// Values of the configuration.
const (
	onPublish   = "publish"
	onSubscribe = "subscribe"
	onDeliver   = "deliver"

	badJSONDrop   = "drop"
	badJSONRefuse = "refuse"

	formatUnix       = "unix"
	formatUnixMillis = "unix_ms"

	payloadNone = "none"
	payloadHead = "head"

	encodingText   = "text"
	encodingBase64 = "base64"
)

func defaultConfig() Config {
	return Config{Log: LogConfig{
		Enabled:     true,
		Events:      []string{"connected", "disconnected", "refused", "published", "dropped"},
		Payload:     payloadNone,
		PayloadHead: 128,
		Encoding:    "auto",
		MaxBytes:    16 << 20,
		Keep:        5,
		Rate:        50,
	}}
}

// oneOrMore is a list of strings that may be written as a string if it has one
// element.
type oneOrMore []string

// UnmarshalJSON reads a string or a list of strings.
func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	var more []string
	if err := json.Unmarshal(b, &more); err != nil {
		return fmt.Errorf("must be a string or a list of strings")
	}
	*o = more
	return nil
}

// setup is a configuration that makes sense.
type setup struct {
	log   LogConfig
	rules *ruleSet
}

// readConfig reads and compiles the configuration. The error joins a
// [pluginapi.ConfigError] for each thing that is wrong.
func readConfig(s *pluginapi.Setup) (*setup, error) {
	c := defaultConfig()
	if err := s.Config(&c); err != nil {
		return nil, err
	}
	var problems problems
	c.Log.check(&problems)
	rules := compileRules(c.Rules, &problems)
	rules.now = time.Now
	if err := problems.err(); err != nil {
		return nil, err
	}
	return &setup{log: c.Log, rules: rules}, nil
}
