package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// brokerOptions maps the configuration to the broker's options.
func (s *server) brokerOptions(c *config) broker.Options {
	o := broker.Options{
		Logger: s.log, Hooks: s.hooks, Retained: s.retained, Version: brokerVersion(), Limits: c.Limits.limits(),
		Router:              s.router,
		Tracer:              s.tracer(),
		CheckPayloadFormat:  c.MQTT.CheckPayloadFormat,
		ResponseInformation: c.MQTT.ResponseInformation,
		Bans:                s.bans,
		Quotas:              s.quotas,
	}
	if s.sessions != nil {
		c.Sessions.limit(&o.Limits)
		o.Sessions, o.Durability = s.sessions, durabilities[c.Sessions.Durability]
	}
	if every := c.SysInterval; every != nil {
		o.SysInterval = time.Duration(*every)
		if *every == 0 {
			o.SysInterval = -1 // 0s in the file switches $SYS off
		}
	}
	return o
}

// strategies are the names of the ways to choose a member of a share group.
var strategies = map[string]router.Strategy{
	"": router.RoundRobin, "round-robin": router.RoundRobin, "sticky": router.Sticky, "least-in-flight": router.LeastInFlight,
}

// limits maps the limits; check has seen to it that every value fits.
func (l *limitsConfig) limits() broker.Limits {
	out := broker.Limits{
		ConnectTimeout:     time.Duration(l.ConnectTimeout),
		ConnectPacketSize:  bytes32(l.ConnectPacketSize),
		ConnectWillSize:    bytes32(l.ConnectWillSize),
		PacketSize:         bytes32(l.PacketSize),
		PacketTimeout:      time.Duration(l.PacketTimeout),
		WriteTimeout:       time.Duration(l.WriteTimeout),
		ClientIDLength:     l.ClientIDLength,
		UserProperties:     l.UserProperties,
		UserPropertyBytes:  int(l.UserPropertyBytes),
		TopicLevels:        l.TopicLevels,
		Connections:        l.Connections,
		AddressConnections: l.ConnectionsPerAddress,
		ConnectRate:        admission.Rate{PerSecond: l.ConnectRate, Burst: l.ConnectBurst},
		AddressConnectRate: admission.Rate{PerSecond: l.ConnectRatePerAddress, Burst: l.ConnectBurstPerAddress},
		ExemptNetworks:     prefixes(l.ExemptNetworks),
		Authentications:    l.Authentications,
		Flapping: broker.Flapping{
			Connects: l.Flapping.Connects, Within: time.Duration(l.Flapping.Within), Ban: time.Duration(l.Flapping.Ban),
		},
		MessagesPerSecond:      l.MessagesPerSecond,
		BytesPerSecond:         float64(l.BytesPerSecond),
		RatePatience:           time.Duration(l.RatePatience),
		Sessions:               l.Sessions,
		RetainedMessages:       l.RetainedMessages,
		RetainedBytes:          int(l.RetainedBytes),
		SharedKeys:             l.SharedKeys,
		SharedBytes:            int(l.SharedBytes),
		SubscriptionsPerClient: l.SubscriptionsPerClient,
		FiltersPerPacket:       l.FiltersPerPacket,
		KeepAlive:              seconds16(l.KeepAlive),
		MinKeepAlive:           seconds16(l.MinKeepAlive),
		IdleTimeout:            time.Duration(l.IdleTimeout),
		SessionExpiry:          uint32(time.Duration(l.SessionExpiry) / time.Second), //nolint:gosec // checked when loaded
		ReceiveMaximum:         l.ReceiveMaximum,
		TopicAliases:           l.TopicAliases,
		InFlight:               l.InFlight,
		QueueMessages:          l.QueueMessages,
		QueueBytes:             int(l.QueueBytes),
		QueueBytesTotal:        int(l.QueueBytesTotal),
		QueueQoS0Offline:       l.QueueQoS0Offline,
	}
	if l.MaxQoS != nil {
		out.MaxQoS, out.LimitQoS = mqtt.QoS(*l.MaxQoS), true
	}
	if l.QueueOverflow == "drop-newest" {
		out.Overflow = session.DropNewest
	}
	return out
}

func bytes32(z size) uint32 { return uint32(z) } //nolint:gosec // checked when loaded

func seconds16(d duration) uint16 {
	return uint16(time.Duration(d) / time.Second) //nolint:gosec // checked when loaded
}

// pluginConfigs maps the plugins of the configuration.
func (c *config) pluginConfigs() ([]pluginhost.Config, error) {
	out := make([]pluginhost.Config, 0, len(c.Plugins))
	for name, p := range c.Plugins {
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
			StartTimeout: time.Duration(p.StartTimeout), Scopes: p.Scopes, MayBypassAuthorization: p.MayBypass,
			DebugTimeout: time.Duration(p.DebugTimeout),
		}
		if p.Probation != nil {
			if c.Probation = time.Duration(*p.Probation); c.Probation == 0 {
				c.Probation = -1
			}
		}
		c.Observer.Queue = p.Observer.Queue
		out = append(out, c)
	}
	return out, nil
}
