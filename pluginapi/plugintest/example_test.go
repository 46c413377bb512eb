package plugintest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
)

// A CONNECT has sensible defaults; what matters to the test is changed.
func ExampleConnect() {
	will := plugintest.Message("home/lamp/gone", "1", plugintest.QoS(2), plugintest.Retained())
	c := plugintest.Connect("lamp", plugintest.Credentials("anna", "secret"), plugintest.Version(4), plugintest.Will(will, time.Minute))
	fmt.Println(c.ClientID, c.Username, c.Protocol, c.KeepAlive, c.Will.Message.Topic, c.Will.Delay)
	// Output: lamp anna 4 1m0s home/lamp/gone 1m0s
}

func ExampleMessage() {
	m := plugintest.Message("home/lamp", "on", plugintest.QoS(0), plugintest.Property("by", "hand"), plugintest.Expires(60))
	fmt.Println(m.Topic, string(m.Payload), m.QoS, m.Retain, m.UserProperties, *m.Expiry)
	// Output: home/lamp on 0 false [{by hand}] 60
}

// A rule without configuration is called by hand; plugintest.Start would put it
// behind a real connection.
func ExamplePublish() {
	rule := pluginapi.PublishFunc(func(_ context.Context, call *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		if pluginapi.Match("secret/#", call.Message.Topic) {
			return pluginapi.Refuse(pluginapi.NotAuthorized, call.Client.ID+" must not"), nil
		}
		return pluginapi.Pass(), nil
	})
	v, err := rule.InterceptPublish(context.Background(), plugintest.Publish("lamp", plugintest.Message("secret/plan", "x")))
	fmt.Println(v.Action, v.Reason, err)
	// Output: refuse lamp must not <nil>
}

func ExampleSubscribe() {
	call := plugintest.Subscribe("lamp", "home/#", func(s *pluginapi.Subscription) { s.NoLocal = true })
	fmt.Println(call.Client.ID, call.Subscription.Filter, call.Subscription.QoS, call.Subscription.NoLocal)
	// Output: lamp home/# 1 true
}

func ExampleDeliver() {
	call := plugintest.Deliver("lamp", plugintest.Message("home/lamp", "off"))
	fmt.Println(call.Receiver, string(call.Message.Payload))
	// Output: lamp off
}
