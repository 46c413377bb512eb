package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Refusal is why a message of the server API went nowhere: an interceptor, or
// the retained store, did not let it pass.
type Refusal struct {
	Code   mqtt.ReasonCode
	Reason string
	By     string // the interceptor's name
}

// Error tells the code and the reason.
func (r *Refusal) Error() string {
	s := "refused: " + r.Code.String()
	if r.By != "" {
		s = r.By + " " + s
	}
	if r.Reason != "" {
		s += " (" + r.Reason + ")"
	}
	return s
}

// Published tells what became of a message of the server API.
type Published struct {
	// Receivers is the number of sessions that it was queued for.
	Receivers int
	// Later says that the message waits until the one in hand is acknowledged:
	// nobody knows its receivers yet, or whether an interceptor refuses it.
	Later bool

	position uint64 // to be written before anybody relies on it; 0 for nothing
}

// Publish takes a message through the interceptors, the retained store and to
// the subscribers, as if a client had published it. Topic is the broker's own,
// mountpoints included. Publisher may name a client on whose behalf it is: No
// Local compares it, and grants are not asked. Origin and Created are filled if
// they are zero, Hops always; m must not be changed afterwards.
//
// A hook hands the context on that it was given. The message then goes out
// when what the hook is asked about is done with, behind its acknowledgement,
// and Publish does not wait for that; a message that took more than
// [hook.MaxHops] hooks to be made is refused. Other callers wait until the
// message is queued for its receivers.
//
// A message of QoS 1 or 2 for sessions that are kept is written when Publish
// returns, as one of a client is when that is acknowledged.
//
// The error wraps ErrInvalid, ErrQuota if too many messages wait, ErrUnwritten if
// what has to be kept of it can't be written, or is a *Refusal or ctx's.
func (b *Broker) Publish(ctx context.Context, m *mqtt.Message) (Published, error) {
	out, err := b.PublishAhead(ctx, m)
	if err != nil {
		return Published{}, err
	}
	err = b.waitWritten(ctx, out.position)
	out.position = 0
	return out, err
}

// Written waits until messages of PublishAhead are written. The error is as that of
// Publish.
func (b *Broker) Written(ctx context.Context, list ...Published) error {
	var last uint64
	for _, p := range list {
		last = max(last, p.position)
	}
	return b.waitWritten(ctx, last)
}

// PublishAhead is Publish for many messages one after the other: it does not wait
// until the message is written, which is for [Broker.Written] to do.
func (b *Broker) PublishAhead(ctx context.Context, m *mqtt.Message) (Published, error) {
	c, err := b.made(ctx, m)
	if err != nil {
		return Published{}, err
	}
	switch waits, full := hook.InHandOf(ctx).Later(c); {
	case waits:
		return Published{Later: true}, nil
	case full:
		b.dropped(nil, c, hook.CauseQueueFull)
		return Published{}, fmt.Errorf("%w: %d messages wait for the one in hand already", ErrQuota, hook.MaxLater)
	}
	n, position, v := b.publishInternal(nil, c)
	switch {
	case v.Failed && (v.By == sessionStore || v.By == byRetainedStore):
		return Published{}, fmt.Errorf("%w: %s: %s", ErrUnwritten, v.By, v.Reason)
	case v.Action == hook.Refuse, v.Action == hook.Disconnect:
		return Published{}, &Refusal{Code: v.Code, Reason: v.Reason, By: v.By}
	}
	return Published{Receivers: n, position: position}, nil
}

// waitWritten waits until a position of the log is written; 0 for nothing. The
// error wraps ErrUnwritten if that takes too long, or is ctx's.
func (b *Broker) waitWritten(ctx context.Context, position uint64) error {
	if position == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, b.limits().StoreTimeout)
	defer cancel()
	err := b.changes.Wait(bounded, position)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w in time; it is in the queues of its receivers, and written when that is possible", ErrUnwritten)
	}
	return err
}

// made checks a message that a caller of the API made and returns it as the
// broker will share it.
func (b *Broker) made(ctx context.Context, m *mqtt.Message) (*mqtt.Message, error) {
	if err := b.checkMessage(m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c := m.Clone()
	if c.Created.IsZero() {
		c.Created = time.Now()
	}
	if c.Origin == mqtt.FromClient {
		c.Origin = mqtt.FromServer
	}
	c.Hops = hook.InHandOf(ctx).NextHops()
	if c.Hops > hook.MaxHops {
		b.dropped(nil, c, hook.CauseHops)
		return nil, &Refusal{Code: mqtt.QuotaExceeded, Reason: fmt.Sprintf(
			"hooks have published %d messages on account of each other: do they answer their own?", hook.MaxHops)}
	}
	return c, nil
}

func (b *Broker) checkMessage(m *mqtt.Message) error {
	if wrong := b.checkTopic(m.Topic); wrong != "" {
		return fmt.Errorf("topic %q: %s", m.Topic, wrong)
	}
	if reserved(m.Topic) {
		return fmt.Errorf("topic %q: the broker alone publishes there", m.Topic)
	}
	if !m.QoS.Valid() {
		return fmt.Errorf("QoS %d: it is 0, 1 or 2", m.QoS)
	}
	if wrong := checkResponseTopic(m.Properties); wrong != "" {
		return fmt.Errorf("response topic %q: %s", m.Properties.ResponseTopic, wrong)
	}
	return checkProperties(m.Properties)
}

// checkProperties refuses what no packet could carry.
func checkProperties(p *mqtt.Properties) error {
	if p == nil {
		return nil
	}
	if !isText(p.ContentType) {
		return errors.New("the content type is no UTF-8 text of up to 65,535 bytes")
	}
	if len(p.CorrelationData) > maxText {
		return errors.New("the correlation data has more than 65,535 bytes")
	}
	for _, u := range p.User {
		if !isText(u.Key) || !isText(u.Value) {
			return errors.New("a user property is no UTF-8 text of up to 65,535 bytes")
		}
	}
	return nil
}

// maxText is the longest string, in bytes, that a packet can carry.
const maxText = 65_535

// isText reports whether a packet can carry a string [MQTT-1.5.4-1]
// [MQTT-1.5.4-2].
func isText(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
