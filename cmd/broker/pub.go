package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

type pubCmd struct {
	mqttFlags
	Topic   string `short:"t" required:"" help:"Topic." placeholder:"TOPIC"`
	Message string `short:"m" help:"The payload." placeholder:"TEXT" xor:"payload"`
	File    string `short:"f" help:"Send the whole file." placeholder:"FILE" xor:"payload"`
	Stdin   bool   `short:"s" name:"stdin-file" help:"Send the whole of standard input." xor:"payload"`
	Lines   bool   `short:"l" name:"stdin-line" help:"Send each line of standard input as a message." xor:"payload"`
	Null    bool   `short:"n" name:"null-message" help:"Send an empty payload, which removes a retained message." xor:"payload"`

	QoS         byte          `short:"q" name:"qos" help:"Quality of service, 0 to 2." placeholder:"N"`
	Retain      bool          `short:"r" help:"Have the broker keep the message for later subscribers."`
	Repeat      int           `default:"1" help:"How often each message is sent; 0 without end." placeholder:"N"`
	RepeatDelay time.Duration `help:"Time between the repetitions." placeholder:"TIME"`
	InFlight    int           `short:"M" name:"max-inflight" help:"Messages of QoS 1 and 2 that wait for their acknowledgement at most; without it as many as the broker takes." placeholder:"N"`
	Rate        float64       `help:"Messages a second at most." placeholder:"N"`
	Quiet       bool          `help:"Say nothing of messages that are refused; the exit status tells still."`

	Expiry        *uint32 `help:"Message Expiry Interval, in seconds." placeholder:"N" group:"MQTT 5"`
	ContentType   string  `help:"Content Type." placeholder:"TEXT" group:"MQTT 5"`
	UTF8          bool    `name:"utf8" help:"Say that the payload is UTF-8 (Payload Format Indicator)." group:"MQTT 5"`
	ResponseTopic string  `help:"Response Topic." placeholder:"TOPIC" group:"MQTT 5"`
	Correlation   string  `name:"correlation-data" help:"Correlation Data." placeholder:"TEXT" group:"MQTT 5"`
	Property      pairs   `sep:"none" help:"User property. Repeatable." placeholder:"NAME=VALUE" group:"MQTT 5"`

	Request bool          `help:"Wait for an answer to each message on the Response Topic, which is made up if there is none, and print its payload." group:"MQTT 5"`
	Timeout time.Duration `short:"W" help:"How long to wait for an answer." default:"30s" placeholder:"TIME"`
}

// Run publishes. The exit status is the reason code of the last message that the
// broker refused.
func (cmd *pubCmd) Run(t *terminal) error {
	m, err := cmd.message()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	answers := make(chan *received, 16)
	c, err := cmd.connect(ctx, func(r *received) {
		select {
		case answers <- r:
		default: // nobody waits for so many
		}
	})
	if err != nil {
		return err
	}
	defer c.disconnect()
	if cmd.Request {
		if m.Properties.ResponseTopic == "" {
			m.Properties.ResponseTopic = "response/" + cmd.ID
		}
		if err := c.subscribe(ctx, []mqtt.Subscription{{Filter: m.Properties.ResponseTopic, QoS: mqtt.AtLeastOnce}}, nil); err != nil {
			return err
		}
	}
	return cmd.publishAll(ctx, t, c, m, answers)
}

// publishAll sends all that is to be sent, and waits for the acknowledgements. The
// error is the last refusal, or what ended it before.
func (cmd *pubCmd) publishAll(ctx context.Context, t *terminal, c mqttClient, m *mqtt.Message, answers <-chan *received) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := cmd.newOutbox(t, c, cancel)
	pace := pace{every: cmd.every()}
	for payload, err := range cmd.payloads(t) {
		if err != nil {
			return errors.Join(err, out.close())
		}
		for i := 0; i < cmd.Repeat || cmd.Repeat == 0; i++ {
			if i > 0 && !pause(ctx, cmd.RepeatDelay) || !pace.wait(ctx) || !out.reserve(ctx) {
				return out.close()
			}
			one := m.Clone()
			one.Payload = payload
			sent := c.begin(ctx, one)
			if cmd.Request {
				sent = cmd.answered(ctx, t, c, sent, answers)
			}
			out.add(sent)
		}
	}
	return out.close()
}

// gone reports whether the connection is lost.
func gone(c mqttClient) bool {
	select {
	case <-c.lost(): //nolint:errcheck // that it is, is all
		return true
	default:
		return false
	}
}

// answered waits until a request is acknowledged and answered, and prints the
// answer.
func (cmd *pubCmd) answered(ctx context.Context, t *terminal, c mqttClient, sent <-chan error, answers <-chan *received) <-chan error {
	result := make(chan error, 1)
	if err := <-sent; err != nil {
		result <- err
		return result
	}
	ctx, cancel := waitBounded(ctx, cmd.Timeout)
	defer cancel()
	for {
		select {
		case r := <-answers:
			if string(r.properties().CorrelationData) != cmd.Correlation {
				continue // the answer to somebody else
			}
			_, err := fmt.Fprintf(t.out, "%s\n", r.Payload)
			result <- err
		case err := <-c.lost():
			result <- err
		case <-ctx.Done():
			result <- &statusError{timeoutStatus, errors.New("nobody answered in time")}
		}
		return result
	}
}

func (cmd *pubCmd) message() (*mqtt.Message, error) {
	user, err := cmd.Property.properties()
	if err != nil {
		return nil, err
	}
	if cmd.QoS > byte(mqtt.ExactlyOnce) {
		return nil, errors.New("QoS is 0, 1 or 2")
	}
	if cmd.InFlight < 0 {
		return nil, errors.New("at least one message has to be in flight")
	}
	if cmd.Rate < 0 {
		return nil, errors.New("a rate is greater than zero")
	}
	m := &mqtt.Message{Topic: cmd.Topic, QoS: mqtt.QoS(cmd.QoS), Retain: cmd.Retain, Properties: &mqtt.Properties{
		ContentType: cmd.ContentType, ResponseTopic: cmd.ResponseTopic, CorrelationData: []byte(cmd.Correlation), User: user,
		PayloadIsUTF8: cmd.UTF8, HasPayloadFormat: cmd.UTF8,
	}}
	if cmd.Expiry != nil {
		m.Properties.Expiry, m.Properties.HasExpiry = *cmd.Expiry, true
	}
	if cmd.Correlation == "" {
		m.Properties.CorrelationData = nil
	}
	with5 := cmd.Expiry != nil || cmd.UTF8 || cmd.ContentType+cmd.ResponseTopic+cmd.Correlation != "" || len(user) > 0 || cmd.Request
	if with5 && !cmd.five() {
		return nil, errOnly5
	}
	return m, nil
}

// payloads are what is to be sent.
func (cmd *pubCmd) payloads(t *terminal) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		switch {
		case cmd.Lines:
			sc := bufio.NewScanner(t.in)
			sc.Buffer(nil, maxPayload)
			for sc.Scan() {
				if !yield(append([]byte(nil), sc.Bytes()...), nil) {
					return
				}
			}
			if err := sc.Err(); err != nil {
				yield(nil, err)
			}
		case cmd.Stdin:
			yield(readPayload(t.in))
		case cmd.File != "":
			in, err := t.input(cmd.File)
			if err != nil {
				yield(nil, err)
				return
			}
			defer func() { _ = in.Close() }()
			yield(readPayload(in))
		case cmd.Message == "" && !cmd.Null:
			yield(nil, errors.New("what is to be sent? --message, --file, --stdin-file, --stdin-line or --null-message says"))
		default:
			yield([]byte(cmd.Message), nil)
		}
	}
}

// maxPayload is what a packet of MQTT can carry.
const maxPayload = 268_435_455

func readPayload(in io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxPayload+1))
	if err == nil && len(b) > maxPayload {
		return nil, errors.New("a message has at most 256 MiB")
	}
	return b, err
}

func (cmd *pubCmd) every() time.Duration {
	if cmd.Rate == 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / cmd.Rate)
}

// pace keeps messages apart.
type pace struct {
	every time.Duration
	next  time.Time
}

// wait waits for the next turn; false if ctx ends before.
func (p *pace) wait(ctx context.Context) bool {
	if p.every <= 0 {
		return ctx.Err() == nil
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	ok := pause(ctx, p.next.Sub(now))
	p.next = p.next.Add(p.every)
	return ok
}

// pause waits; false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
