package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

func webClient(secure *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: secure, Proxy: http.ProxyFromEnvironment}}
}

// mqttClient is a connected client, of whichever version.
type mqttClient interface {
	publisher
	subscriber
	// lost tells why the connection ended that nobody wanted to end.
	lost() <-chan error
	disconnect()
}

// publisher publishes, by one goroutine at a time.
type publisher interface {
	// begin returns when the message is on its way, so that what is begun later
	// comes later. The channel then has one answer: nil when the broker has
	// acknowledged the message, with QoS 0 when it is written; the error may be an
	// mqttRefusal.
	begin(ctx context.Context, m *mqtt.Message) <-chan error
	// window is how many messages the broker takes without having acknowledged
	// them.
	window() int
}

// subscriber subscribes and unsubscribes. Both return when the broker has answered;
// the error may be an mqttRefusal.
type subscriber interface {
	subscribe(ctx context.Context, subs []mqtt.Subscription, user []mqtt.UserProperty) error
	unsubscribe(ctx context.Context, filters []string) error
}

// received is a message as it came.
type received struct {
	*mqtt.Message
	dup           bool
	id            uint16
	subscriptions []int
}

// five reports whether MQTT 5 is to be spoken.
func (f *mqttFlags) five() bool { return strings.Contains(f.MQTT, "5") }

// connect makes a client. got is called for messages, one after the other.
func (f *mqttFlags) connect(ctx context.Context, got func(*received)) (mqttClient, error) {
	if f.PasswordFile != "" {
		text, err := os.ReadFile(f.PasswordFile)
		if err != nil {
			return nil, err
		}
		f.Password = strings.TrimRight(string(text), "\r\n")
	}
	if f.ID == "" {
		if f.KeepSession {
			return nil, errors.New("--disable-clean-session needs an --id: a session belongs to one")
		}
		f.ID = "broker-" + strings.ToLower(rand.Text()[:12])
	}
	if err := f.Will.check(f.five()); err != nil {
		return nil, err
	}
	if !f.five() && (f.ReceiveMax > 0 || f.MaxPacket > 0 || f.SessionExpiry > 0 || len(f.ConnectUser) > 0) {
		return nil, errOnly5
	}
	if _, err := f.ConnectUser.properties(); err != nil {
		return nil, err
	}
	if f.KeepSession && f.SessionExpiry == 0 {
		f.SessionExpiry = 0xFFFFFFFF
	}
	conn, err := f.dial(ctx)
	if err != nil {
		return nil, &statusError{exitNoBroker, fmt.Errorf("%s: %w", f.URL, err)}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if f.five() {
		return f.connect5(ctx, conn, got)
	}
	return f.connect311(conn, got)
}

// mqttRefusal ends the program with the reason code as its status.
func mqttRefusal(what string, code byte, reason string) error {
	text := what + ": " + reasonCode(uint32(code))
	if reason != "" {
		text += " (" + printable(reason) + ")"
	}
	return &statusError{int(code), errors.New(text)}
}

// pairs are user properties of the command line, in their order.
type pairs []string

func (p pairs) properties() ([]mqtt.UserProperty, error) {
	var out []mqtt.UserProperty
	for _, s := range p {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("user property %q: write NAME=VALUE", s)
		}
		out = append(out, mqtt.UserProperty{Key: k, Value: v})
	}
	return out, nil
}

// timeoutStatus is what mosquitto_sub ends with when its time is over.
const timeoutStatus = 27

// waitBounded is a context that ends after d, never if that is 0.
func waitBounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// input opens a file, or standard input for "-".
func (t *terminal) input(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(t.in), nil
	}
	return os.Open(name)
}
