package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

type subCmd struct {
	mqttFlags
	Topic       []string `short:"t" sep:"none" help:"Topic filter. Repeatable." placeholder:"FILTER"`
	Unsubscribe []string `short:"U" sep:"none" help:"Topic filter that a resumed session is to lose. Repeatable." placeholder:"FILTER"`
	FilterOut   []string `short:"T" sep:"none" help:"Not what this topic filter matches. Repeatable." placeholder:"FILTER"`
	Once        bool     `short:"E" name:"exit-once-subscribed" help:"End when the broker has the subscriptions; with -c it goes on to queue messages."`

	QoS       byte          `short:"q" name:"qos" help:"Quality of service, 0 to 2." placeholder:"N"`
	Count     int           `short:"C" help:"End after so many messages." placeholder:"N"`
	Timeout   time.Duration `short:"W" help:"End after so long, with exit status 27 if --count were not there by then." placeholder:"TIME"`
	Verbose   bool          `short:"v" help:"Print the topic before the payload."`
	NoNewline bool          `short:"N" name:"no-newline" help:"No end of line after a payload."`
	Format    string        `short:"F" default:"text" help:"text, json, hex, raw, or a template such as '{{.Topic}} {{.QoS}} {{.Payload}}'." placeholder:"FORMAT"`

	SkipRetained   bool `short:"R" name:"no-retained" help:"Not what was retained before." xor:"retained"`
	RemoveRetained bool `help:"Remove the retained messages that come."`
	RetainedOnly   bool `help:"Only what was retained before; end when something else comes." xor:"retained"`

	NoLocal           bool   `help:"Not what this client itself publishes." group:"MQTT 5"`
	RetainAsPublished bool   `help:"Leave the RETAIN flag as it was published." group:"MQTT 5"`
	RetainHandling    byte   `help:"0: retained messages are sent; 1: if the subscription is new; 2: never." placeholder:"N" group:"MQTT 5"`
	Identifier        uint32 `name:"subscription-identifier" help:"Subscription Identifier." placeholder:"N" group:"MQTT 5"`
	Property          pairs  `sep:"none" help:"User property of SUBSCRIBE. Repeatable." placeholder:"NAME=VALUE" group:"MQTT 5"`
}

// Run prints messages. The exit status is the reason code of what the broker
// refused.
func (cmd *subCmd) Run(t *terminal) error {
	subs, user, err := cmd.subscriptions()
	if err != nil {
		return err
	}
	show, err := cmd.printer()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	ctx, cancel := waitBounded(ctx, cmd.Timeout)
	defer cancel()
	ends := make(chan error, 1)
	end := func(err error) {
		select {
		case ends <- err:
		default:
		}
	}
	seen, over := 0, false              // by the client's goroutine alone
	clearing := make(chan publisher, 1) // has the client once there is one
	c, err := cmd.connect(ctx, func(r *received) {
		if cmd.RemoveRetained && r.Retain && !cmd.isFilteredOut(r.Topic) {
			p := <-clearing
			p.begin(ctx, &mqtt.Message{Topic: r.Topic, Retain: true})
			clearing <- p
		}
		switch {
		case over || cmd.SkipRetained && r.Retain || cmd.isFilteredOut(r.Topic):
			return
		case cmd.RetainedOnly && !r.Retain:
			over = true
			end(nil)
			return
		}
		if err := show(t.out, r); err != nil {
			over = true
			end(err)
			return
		}
		if seen++; seen == cmd.Count {
			over = true
			end(nil)
		}
	})
	if err != nil {
		return err
	}
	defer c.disconnect()
	clearing <- c
	if len(cmd.Unsubscribe) > 0 {
		if err := c.unsubscribe(ctx, cmd.Unsubscribe); err != nil {
			return err
		}
	}
	if len(subs) > 0 {
		if err := c.subscribe(ctx, subs, user); err != nil {
			return err
		}
	}
	if cmd.Once {
		return nil
	}
	select {
	case err := <-ends:
		return err
	case err := <-c.lost():
		return err
	case <-ctx.Done():
	}
	if cmd.Count > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &statusError{timeoutStatus, fmt.Errorf("fewer than %d messages came in %s", cmd.Count, cmd.Timeout)}
	}
	return nil
}

// isFilteredOut reports whether messages of a topic are not to be shown.
func (cmd *subCmd) isFilteredOut(name string) bool {
	return slices.ContainsFunc(cmd.FilterOut, func(filter string) bool { return topic.Match(filter, name) })
}

func (cmd *subCmd) subscriptions() ([]mqtt.Subscription, []mqtt.UserProperty, error) {
	user, err := cmd.Property.properties()
	switch {
	case err != nil:
		return nil, nil, err
	case len(cmd.Topic) == 0 && len(cmd.Unsubscribe) == 0 && !cmd.KeepSession:
		return nil, nil, errors.New("what is to be subscribed? --topic says")
	case cmd.QoS > byte(mqtt.ExactlyOnce):
		return nil, nil, errors.New("QoS is 0, 1 or 2")
	case cmd.RetainHandling > byte(mqtt.RetainDoNotSend):
		return nil, nil, errors.New("retain handling is 0, 1 or 2")
	case !cmd.five() && (cmd.NoLocal || cmd.RetainAsPublished || cmd.RetainHandling > 0 || cmd.Identifier > 0 || len(user) > 0):
		return nil, nil, errOnly5
	}
	var subs []mqtt.Subscription
	for _, filter := range cmd.FilterOut {
		if err := topic.ValidateFilter(filter); err != nil {
			return nil, nil, fmt.Errorf("--filter-out %s: %w", printable(filter), err)
		}
	}
	for _, filter := range cmd.Topic {
		subs = append(subs, mqtt.Subscription{
			Filter: filter, QoS: mqtt.QoS(cmd.QoS), NoLocal: cmd.NoLocal, RetainAsPublished: cmd.RetainAsPublished,
			RetainHandling: mqtt.RetainHandling(cmd.RetainHandling), ID: cmd.Identifier,
		})
	}
	return subs, user, nil
}

// printer writes a message in the format.
func (cmd *subCmd) printer() (func(io.Writer, *received) error, error) {
	before := func(r *received) string {
		if cmd.Verbose {
			return r.Topic + " "
		}
		return ""
	}
	end := "\n"
	if cmd.NoNewline {
		end = ""
	}
	switch {
	case cmd.Format == "text":
		return func(w io.Writer, r *received) error {
			_, err := fmt.Fprintf(w, "%s%s%s", before(r), r.Payload, end)
			return err
		}, nil
	case cmd.Format == "raw":
		return func(w io.Writer, r *received) error {
			_, err := w.Write(r.Payload)
			return err
		}, nil
	case cmd.Format == "hex":
		return func(w io.Writer, r *received) error {
			_, err := fmt.Fprintf(w, "%s%s%s", before(r), hex.EncodeToString(r.Payload), end)
			return err
		}, nil
	case cmd.Format == "json":
		return func(w io.Writer, r *received) error {
			b, err := json.Marshal(r.shown())
			if err == nil {
				_, err = w.Write(append(b, '\n'))
			}
			return err
		}, nil
	case strings.Contains(cmd.Format, "{{"):
		tmpl, err := template.New("format").Parse(cmd.Format)
		if err != nil {
			return nil, err
		}
		return func(w io.Writer, r *received) error {
			shown := r.shown()
			shown.Payload = string(r.Payload)
			if err := tmpl.Execute(w, shown); err != nil {
				return err
			}
			_, err := io.WriteString(w, end)
			return err
		}, nil
	default:
		return nil, fmt.Errorf("format %q: write text, json, hex, raw, or a template with {{.Payload}}", cmd.Format)
	}
}

// shownMessage is a message for templates and as JSON.
type shownMessage struct {
	Time            time.Time      `json:"time"`
	Topic           string         `json:"topic"`
	QoS             byte           `json:"qos"`
	Retain          bool           `json:"retain"`
	Dup             bool           `json:"dup,omitempty"`
	ID              uint16         `json:"packet_id,omitempty"`
	Payload         string         `json:"payload"`          // empty in JSON if it is no text
	Bytes           []byte         `json:"bytes,omitempty"`  // the payload then
	Size            int            `json:"size"`             // of the payload
	Expiry          *uint32        `json:"expiry,omitempty"` // in seconds
	ContentType     string         `json:"content_type,omitempty"`
	PayloadIsUTF8   *bool          `json:"payload_is_utf8,omitempty"`
	ResponseTopic   string         `json:"response_topic,omitempty"`
	CorrelationData []byte         `json:"correlation_data,omitempty"`
	User            []userProperty `json:"user_properties,omitempty"`
	Subscriptions   []int          `json:"subscription_identifiers,omitempty"`
}

type userProperty struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// properties are those of the message, never nil.
func (r *received) properties() *mqtt.Properties {
	if r.Properties == nil {
		return new(mqtt.Properties)
	}
	return r.Properties
}

func (r *received) shown() *shownMessage {
	q := r.properties()
	s := &shownMessage{
		Time: time.Now(), Topic: r.Topic, QoS: byte(r.QoS), Retain: r.Retain, Dup: r.dup, ID: r.id, Size: len(r.Payload),
		ContentType: q.ContentType, ResponseTopic: q.ResponseTopic, CorrelationData: q.CorrelationData, Subscriptions: r.subscriptions,
	}
	if utf8.Valid(r.Payload) {
		s.Payload = string(r.Payload)
	} else {
		s.Bytes = r.Payload
	}
	if q.HasExpiry {
		s.Expiry = &q.Expiry
	}
	if q.HasPayloadFormat {
		s.PayloadIsUTF8 = &q.PayloadIsUTF8
	}
	for _, u := range q.User {
		s.User = append(s.User, userProperty(u))
	}
	return s
}
