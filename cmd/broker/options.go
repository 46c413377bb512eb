package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// brokerOptions maps the configuration to the broker's options.
func (s *server) brokerOptions() broker.Options {
	o := broker.Options{
		Logger: s.log, Hooks: s.hooks, Retained: s.retained, Version: brokerVersion(), Limits: s.cfg.Limits.limits(),
	}
	if every := s.cfg.SysInterval; every != nil {
		o.SysInterval = time.Duration(*every)
		if *every == 0 {
			o.SysInterval = -1 // 0s in the file switches $SYS off
		}
	}
	return o
}

func (l *limitsConfig) limits() broker.Limits {
	out := broker.Limits{
		ConnectTimeout: time.Duration(l.ConnectTimeout), ConnectPacketSize: uint32(l.ConnectPacketSize), //nolint:gosec // checked when loaded
		PacketSize: uint32(l.PacketSize), TopicLevels: l.TopicLevels, Connections: l.Connections, //nolint:gosec // checked when loaded
		SubscriptionsPerClient: l.SubscriptionsPerClient,
		KeepAlive:              uint16(time.Duration(l.KeepAlive) / time.Second),     //nolint:gosec // checked when loaded
		SessionExpiry:          uint32(time.Duration(l.SessionExpiry) / time.Second), //nolint:gosec // checked when loaded
		ReceiveMaximum:         l.ReceiveMaximum, TopicAliases: l.TopicAliases, InFlight: l.InFlight,
		QueueMessages: l.QueueMessages, QueueBytes: int(l.QueueBytes), QueueQoS0Offline: l.QueueQoS0Offline,
	}
	if l.MaxQoS != nil {
		out.MaxQoS, out.LimitQoS = mqtt.QoS(*l.MaxQoS), true
	}
	if l.QueueOverflow == "drop-newest" {
		out.Overflow = session.DropNewest
	}
	return out
}

// pluginConfigs maps the plugins of the configuration.
func (s *server) pluginConfigs() ([]pluginhost.Config, error) {
	out := make([]pluginhost.Config, 0, len(s.cfg.Plugins))
	for name, p := range s.cfg.Plugins {
		var text []byte
		if p.Config != nil {
			var err error
			if text, err = json.Marshal(p.Config); err != nil {
				return nil, fmt.Errorf("plugins.%s.config cannot be written as JSON: %w", name, err)
			}
		}
		c := pluginhost.Config{
			Name: name, Path: p.Path, Attach: p.Attach, Enabled: p.Enabled, Required: p.Required, Order: p.Order,
			Config: text, Env: p.Env, Validator: p.Validator.policy(), Interceptor: p.Interceptor.policy(),
			StartTimeout: time.Duration(p.StartTimeout),
		}
		c.Observer.Queue = p.Observer.Queue
		out = append(out, c)
	}
	return out, nil
}
