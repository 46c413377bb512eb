package conformance_test

import (
	"context"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// meddlingHooks are those of a broker whose rules change, drop and refuse much
// of what scripts are about, at every point.
func meddlingHooks(t *testing.T) *hook.Hooks {
	t.Helper()
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	var interests []hook.Interest
	for p := range meddling {
		interests = append(interests, hook.Interest{Point: p, MayChange: hook.FieldAll})
	}
	h.SetInterceptors([]hook.InterceptorEntry{{
		Name: "meddler", Interests: interests,
		Interceptor: hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			for _, c := range b.Calls {
				meddling[b.Point](c)
			}
			return nil
		}),
	}})
	return h
}

var meddling = map[hook.Point]func(*hook.Call){
	hook.PointPublish: func(c *hook.Call) {
		switch c.Message.Topic {
		case "a/b":
			change(c, func(m *mqtt.Message) { m.Topic = "b/a" })
		case "a/b/c":
			change(c, func(m *mqtt.Message) { m.QoS, m.Retain = mqtt.ExactlyOnce, !m.Retain })
		case "/":
			c.Verdict.Action = hook.Drop
		case "ü/b":
			c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.QuotaExceeded, Reason: "enough"}
		case "$x":
			c.Verdict.Action = hook.Disconnect
		}
	},
	hook.PointSubscribe: func(c *hook.Call) {
		switch c.Subscription.Filter {
		case "a/#":
			c.Subscription.QoS = 0
		case "+/b":
			c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.NotAuthorized}
		case "$x":
			c.Verdict.Action = hook.Drop
		case "$SYS/#":
			c.Subscription.Filter = "a/+"
		}
	},
	hook.PointUnsubscribe: func(c *hook.Call) {
		if c.Subscription.Filter == "a" {
			c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.NotAuthorized}
		}
	},
	hook.PointDeliver: func(c *hook.Call) {
		switch c.Message.Topic {
		case "a":
			if c.Retained {
				c.Verdict.Action = hook.Drop
			}
		case "b/a":
			change(c, func(m *mqtt.Message) { m.QoS, m.Payload = 0, []byte("changed") })
		case "a/b/c":
			change(c, func(m *mqtt.Message) { m.Topic = "a/b/d" })
		}
	},
}

func change(c *hook.Call, f func(*mqtt.Message)) {
	c.Message = c.Message.Clone()
	f(c.Message)
}
