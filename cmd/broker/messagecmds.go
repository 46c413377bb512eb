package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type messageCmd struct {
	Publish messagePublishCmd `cmd:"" help:"Publish a message as the server, without an MQTT connection: no grants are asked, interceptors are."`
	Batch   messageBatchCmd   `cmd:"" help:"Publish many messages as the server, one JSON object a line."`
}

// messageFlags are a message on a command line.
type messageFlags struct {
	Topic       string  `arg:"" help:"The topic, with the mountpoint if there is one."`
	Payload     string  `arg:"" optional:"" help:"The payload; none by default." xor:"payload"`
	Stdin       bool    `help:"Read the payload from standard input." xor:"payload"`
	QoS         uint32  `name:"qos" short:"q" help:"Quality of service, 0 to 2."`
	Expiry      *uint32 `help:"Message Expiry Interval, in seconds." placeholder:"N"`
	ContentType string  `help:"Content Type." placeholder:"TEXT"`
	Property    pairs   `sep:"none" help:"User property. Repeatable." placeholder:"NAME=VALUE"`
}

// message is what the flags say.
func (f *messageFlags) message(in io.Reader) (*adminv1.Message, error) {
	user, err := f.Property.properties()
	if err != nil {
		return nil, err
	}
	m := &adminv1.Message{Topic: f.Topic, Payload: []byte(f.Payload), Qos: f.QoS, ExpirySeconds: f.Expiry, ContentType: f.ContentType}
	for _, u := range user {
		m.UserProperties = append(m.UserProperties, &adminv1.UserProperty{Key: u.Key, Value: u.Value})
	}
	if f.Stdin {
		m.Payload, err = readBounded(in)
	}
	return m, err
}

type messagePublishCmd struct {
	adminFlags
	messageFlags
	Retain        bool   `short:"r" help:"Retain the message."`
	ResponseTopic string `help:"Response Topic." placeholder:"TOPIC"`
	Correlation   string `help:"Correlation Data." placeholder:"TEXT"`
	Publisher     string `help:"Who hooks and observers are told has published it." placeholder:"NAME"`
}

// Run publishes one message.
func (cmd *messagePublishCmd) Run(t *terminal) error {
	m, err := cmd.message(t.in)
	if err != nil {
		return err
	}
	m.Retain, m.ResponseTopic, m.CorrelationData = cmd.Retain, cmd.ResponseTopic, []byte(cmd.Correlation)
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewPublishServiceClient)
	if err != nil {
		return err
	}
	res, err := callAdmin(client.Publish, &adminv1.PublishRequest{Message: m, Publisher: cmd.Publisher})
	switch {
	case err != nil:
		return err
	case res.GetRefused():
		return mqttRefusal("refused", byte(res.GetReasonCode()), res.GetReason()) //nolint:gosec // a byte
	default:
		return cmd.done(t, res, "published to %d clients", res.GetReceivers())
	}
}

type messageBatchCmd struct {
	adminFlags
	File      string `arg:"" help:"File with a message a line, such as {\"topic\": \"a\", \"text\": \"hello\", \"qos\": 1}; - for standard input."`
	Publisher string `help:"Who hooks and observers are told has published them." placeholder:"NAME"`
}

// Run publishes messages. Those before a mistake are published.
func (cmd *messageBatchCmd) Run(t *terminal) error {
	client, err := dialAdmin(&cmd.adminFlags, adminv1connect.NewPublishServiceClient)
	if err != nil {
		return err
	}
	in, err := t.input(cmd.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	ctx, stop := interruptible()
	defer stop()
	up, err := client.PublishBatch(ctx)
	if err != nil {
		return explain(err)
	}
	part, size := &adminv1.PublishBatchRequest{Publisher: cmd.Publisher}, 0
	bad := eachLine(cmd.File, in, func(line []byte) error {
		m := new(adminv1.Message)
		if err := protojson.Unmarshal(line, m); err != nil {
			return err
		}
		part.Messages = append(part.Messages, m)
		if size += len(line); size < importBytes {
			return nil
		}
		err := up.Send(part)
		part, size = &adminv1.PublishBatchRequest{Publisher: cmd.Publisher}, 0
		return err
	})
	if len(part.GetMessages()) > 0 {
		_ = up.Send(part) // CloseAndReceive knows why
	}
	res, err := up.CloseAndReceive()
	if err != nil {
		return errors.Join(bad, explain(err))
	}
	if n := res.GetRefused(); n > 0 {
		bad = errors.Join(bad, fmt.Errorf("%d messages were refused; the first: %s", n, printable(res.GetFirstRefusal())))
	}
	return errors.Join(bad, cmd.done(t, res, "%d messages published, %d deliveries", res.GetPublished(), res.GetReceivers()))
}

// eachLine calls take for every line of a file that is not blank, until that
// returns an error: io.EOF, which is none and says that the other end takes no
// more, or a mistake, which gets the file's name and the line.
func eachLine(name string, in io.Reader, take func(line []byte) error) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 0, 64<<10), maxImportLine)
	for line := 1; sc.Scan(); line++ {
		if len(bytes.TrimSpace(sc.Bytes())) == 0 {
			continue
		}
		switch err := take(sc.Bytes()); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s:%d: %w", name, line, err)
		}
	}
	return sc.Err()
}
