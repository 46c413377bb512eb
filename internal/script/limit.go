package script

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// limitsRecord is a decision's limits as a dict.
var limitsRecord = func() *record {
	type limits = pluginapi.Limits
	return newRecord([]field{
		limitField("keep_alive", toMaybe[uint16], func(l *limits) **uint16 { return &l.KeepAlive }),
		limitField("session_expiry", toMaybe[uint32], func(l *limits) **uint32 { return &l.SessionExpiry }),
		limitField("receive_maximum", toMaybe[uint16], func(l *limits) **uint16 { return &l.ReceiveMaximum }),
		limitField("maximum_packet_size", toMaybe[uint32], func(l *limits) **uint32 { return &l.MaximumPacketSize }),
		limitField("maximum_qos", func(v starlark.Value) (*pluginapi.QoS, error) {
			if v == starlark.None {
				return nil, nil
			}
			q, err := toQoS(v)
			return &q, err
		}, func(l *limits) **pluginapi.QoS { return &l.MaximumQoS }),
		limitField("topic_alias_maximum", toMaybe[uint16], func(l *limits) **uint16 { return &l.TopicAliasMaximum }),
		limitField("queue_messages", toMaybe[uint32], func(l *limits) **uint32 { return &l.QueueMessages }),
		limitField("queue_bytes", toMaybe[uint64], func(l *limits) **uint64 { return &l.QueueBytes }),
		limitField("messages_per_second", toRate, func(l *limits) **float64 { return &l.MessagesPerSecond }),
		limitField("bytes_per_second", toRate, func(l *limits) **float64 { return &l.BytesPerSecond }),
		limitField("subscriptions", toMaybe[uint32], func(l *limits) **uint32 { return &l.Subscriptions }),
	})
}()

// limitField is a number that may be missing.
func limitField[T, V any](name string, convert func(starlark.Value) (*V, error), at func(*T) **V) field {
	return fieldOf(name, "number or None", "",
		func(l *T) starlark.Value {
			p := *at(l)
			if p == nil {
				return starlark.None
			}
			switch n := any(*p).(type) {
			case float64:
				return starlark.Float(n)
			case uint16:
				return number(n)
			case uint32:
				return number(n)
			case uint64:
				return number(n)
			case pluginapi.QoS:
				return number(n)
			}
			return starlark.None
		},
		assign(convert, func(l *T, p *V) { *at(l) = p }))
}

// quotaActions are what a quota may be of.
var quotaActions = map[string]pluginapi.Action{
	"publish": pluginapi.Publish, "deliver": pluginapi.Receive, "both": pluginapi.Publish | pluginapi.Receive,
}

// quotaRecord is a decision's quota as a dict.
var quotaRecord = newRecord([]field{
	fieldOf("account", "string", "",
		func(q *pluginapi.Quota) starlark.Value { return text(q.Account) }, assign(toText, func(q *pluginapi.Quota, s string) { q.Account = s })),
	fieldOf("time_zone", "string", "",
		func(q *pluginapi.Quota) starlark.Value { return text(q.TimeZone) }, assign(toZone, func(q *pluginapi.Quota, s string) { q.TimeZone = s })),
	fieldOf("of", "string", "",
		func(q *pluginapi.Quota) starlark.Value {
			for name, of := range quotaActions {
				if of == q.Of {
					return text(name)
				}
			}
			return text("both")
		}, assign(toQuotaActions, func(q *pluginapi.Quota, of pluginapi.Action) { q.Of = of })),
	limitField("bytes_per_day", toMaybe[uint64], func(q *pluginapi.Quota) **uint64 { return &q.BytesPerDay }),
	limitField("bytes_per_month", toMaybe[uint64], func(q *pluginapi.Quota) **uint64 { return &q.BytesPerMonth }),
	limitField("messages_per_day", toMaybe[uint64], func(q *pluginapi.Quota) **uint64 { return &q.MessagesPerDay }),
	limitField("messages_per_month", toMaybe[uint64], func(q *pluginapi.Quota) **uint64 { return &q.MessagesPerMonth }),
})

func quotaValue(q *pluginapi.Quota) starlark.Value {
	if q == nil {
		return starlark.None
	}
	return quotaRecord.dict(q)
}

func toQuota(v starlark.Value) (*pluginapi.Quota, error) {
	if v == starlark.None {
		return nil, nil
	}
	d, ok := v.(starlark.IterableMapping)
	if !ok {
		return nil, wrong("a dict", v)
	}
	q := new(pluginapi.Quota)
	return q, quotaRecord.fill(q, d.Items())
}

func toQuotaActions(v starlark.Value) (pluginapi.Action, error) {
	s, _ := starlark.AsString(v)
	of, ok := quotaActions[s]
	if !ok {
		return 0, wrong("publish, deliver or both", v)
	}
	return of, nil
}

// toZone takes the name of a time zone.
func toZone(v starlark.Value) (string, error) {
	s, err := toText(v)
	if err == nil {
		if _, unknown := time.LoadLocation(s); unknown != nil {
			err = fmt.Errorf("there is no time zone %q", s)
		}
	}
	return s, err
}

func toDurability(v starlark.Value) (d pluginapi.Durability, err error) {
	s, err := toText(v)
	if err == nil {
		err = d.UnmarshalText([]byte(s))
	}
	return d, err
}
