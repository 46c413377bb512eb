package script_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// The fields of MQTTnet's contexts, and what becomes of what scripts set.
func TestContexts(t *testing.T) {
	var m script.Memory
	m.Connect(pluginapi.Client{ID: "c"})
	s := mustLoad(t, script.Options{Broker: m.Broker()}, `
def want(context, **fields):
    for name, value in fields.items():
        if context[name] != value:
            fail(name, "is", context[name], "and not", value)

def on_validate_client_connection(context):
    want(context, client_id = "c", username = "u", password = None, raw_password = b"\xff", clean_session = True,
        endpoint = "192.0.2.1:5", is_secure_connection = True, authentication_method = "m", authentication_data = b"d",
        session_items = {}, result = None, keep_alive_period = 60, protocol_version = 5, user_properties = [("a", "1"), ("a", "2")],
        session_expiry_interval = 7, receive_maximum = None)
    want(context["certificate"], common_name = "cn", sha256 = "0102", dns_names = ["x"])
    want(context["will"], topic = "w", payload_text = "gone", delay = 2.0)
    context["result"] = "success"
    context["session_items"]["list"] = [1, {"a": None}]
    context["session_items"].update(text = "t", raw = b"\xff\x00", flag = True)
    context["grants"] = [allow("a/#", qos = 1, retain = False), deny("a/b", ["publish"])]
    context["limits"]["keep_alive"] = 10
    context["limits"]["messages_per_second"] = 1.5
    want(context, quota = None, durability = None)
    context["quota"] = {"account": "house", "time_zone": "Europe/Berlin", "of": "publish", "bytes_per_day": 5000000000}
    context["quota"]["messages_per_month"] = 7
    context["durability"] = "interval"
    want(context, durability = "interval")
    context["assigned_username"] = "v"
    context["assigned_client_identifier"] = "given"
    context["mountpoint"] = "m/"
    context["valid_for"] = "10m"
    context["response_user_properties"] = {"k": "v"}
    context["response_authentication_data"] = "done"

def on_intercept_application_message(context):
    want(context, client_id = "c", session_items = {"list": [1, {"a": None}], "text": "t", "raw": b"\xff\x00", "flag": True},
        retain = False, topic = "t", qos = 1, accept_publish = True, close_connection = False, payload = b"p", payload_text = "p",
        content_type = "ct", response_topic = "r", correlation_data = b"cd", message_expiry_interval = 5,
        payload_format_indicator = 1, origin = "client", hops = 2)
    context["session_items"]["n"] = 1
    context["session_items"].pop("text")
    context["topic"], context["qos"], context["retain"] = "t2", 0, True
    context["payload"] = [104, 105]
    context["content_type"] = None
    context["message_expiry_interval"] = None
    context["payload_format_indicator"] = 0
    context["user_properties"].append(("b", "2"))
    context["response_user_properties"] = [("seen", "yes")]

def on_intercept_subscription(context):
    want(context, client_id = "c", topic = "f/#", qos = 2, accept_subscription = True, close_connection = False, no_local = True,
        retain_handling = 1, subscription_identifier = 9, user_properties = [("p", "q")])
    context["qos"] = 1
    context["no_local"] = False

def on_intercept_unsubscription(context):
    want(context, client_id = "c", topic = "f/#", accept_unsubscription = True, close_connection = False)
    context["accept_unsubscription"] = False
    context["reason_code"] = 131
    context["reason_string"] = "stay"

def on_deliver(context):
    want(context, client_id = "r", username = None, topic = "t", is_retained_message = True, retain = True)
    context["accept_delivery"] = False

def on_client_connected(context): publish(topic = "told", payload = "connected " + context["client_id"])
def on_client_disconnected(context): publish(topic = "told", payload = "disconnected " + context["type"])
def on_client_subscribed_topic(context): publish(topic = "told", payload = "subscribed %s %d" % (context["topic"], context["qos"]))
def on_client_unsubscribed_topic(context): publish(topic = "told", payload = "unsubscribed " + context["topic"])
def on_acknowledged(context): publish(topic = "told", payload = "acknowledged %s %s" % (context["topic"], context["reason_code"]))
def on_retained_changed(context): publish(topic = "told", payload = "retained %s %s" % (context["topic"], context["removed"]))
`)
	d, err := s.Connect(t.Context(), &pluginapi.Connect{
		ClientID: "c", Username: "u", HasUsername: true, Password: []byte{0xff}, HasPassword: true, CleanStart: true, Protocol: 5,
		KeepAlive: time.Minute, PeerAddress: "192.0.2.1:5", AuthMethod: "m", AuthData: []byte("d"), SessionExpiry: new(uint32(7)),
		UserProperties: []pluginapi.UserProperty{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}},
		TLS:            &pluginapi.TLS{Certificate: &pluginapi.Certificate{CommonName: "cn", SHA256: []byte{1, 2}, DNSNames: []string{"x"}}},
		Will:           &pluginapi.Will{Message: &pluginapi.Message{Topic: "w", Payload: []byte("gone")}, Delay: 2 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &pluginapi.Decision{
		Word: pluginapi.Allow, AssignedClientID: "given", Username: new("v"), Mountpoint: "m/", ValidFor: 10 * time.Minute,
		UserProperties: []pluginapi.UserProperty{{Key: "k", Value: "v"}}, AuthData: []byte("done"),
		Limits: pluginapi.Limits{KeepAlive: new(uint16(10)), MessagesPerSecond: new(1.5)},
		Quota: &pluginapi.Quota{
			Account: "house", TimeZone: "Europe/Berlin", Of: pluginapi.Publish,
			BytesPerDay: new(uint64(5e9)), MessagesPerMonth: new(uint64(7)),
		},
		Durability: pluginapi.DurabilityInterval,
		Grants: []pluginapi.Grant{
			{Actions: pluginapi.AllActions, Filter: "a/#", MaxQoS: new(pluginapi.QoS(1)), Retain: new(false)},
			{Deny: true, Actions: pluginapi.Publish, Filter: "a/b"},
		},
		Items: map[string][]byte{"list": []byte("\x00j[1,{\"a\":null}]"), "text": []byte("t"), "raw": []byte("\x00b\xff\x00"), "flag": []byte("\x00jtrue")},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("decision: %s", diff)
	}

	client := &pluginapi.Client{ID: "c", Items: d.Items}
	msg := &pluginapi.Message{
		Topic: "t", Payload: []byte("p"), PayloadSize: 1, QoS: 1, ContentType: "ct", ResponseTopic: "r", CorrelationData: []byte("cd"),
		Expiry: new(uint32(5)), PayloadIsUTF8: new(true), Origin: pluginapi.FromClient, Hops: 2,
		UserProperties: []pluginapi.UserProperty{{Key: "a", Value: "1"}},
	}
	v, err := s.Publish(t.Context(), &pluginapi.PublishCall{Client: client, Message: msg})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pluginapi.Verdict{UserProperties: []pluginapi.UserProperty{{Key: "seen", Value: "yes"}}}, v); diff != "" {
		t.Errorf("publish: %s", diff)
	}
	changed := &pluginapi.Message{
		Topic: "t2", Payload: []byte("hi"), PayloadSize: 2, Retain: true, ResponseTopic: "r", CorrelationData: []byte("cd"),
		PayloadIsUTF8: new(false), Origin: pluginapi.FromClient, Hops: 2,
		UserProperties: []pluginapi.UserProperty{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}},
	}
	if diff := cmp.Diff(changed, msg); diff != "" {
		t.Errorf("message: %s", diff)
	}
	now := m.Connected["c"].Items
	if string(now["n"]) != "\x00j1" || now["text"] != nil {
		t.Errorf("items %q", now)
	}
	if client.Items["n"] != nil {
		t.Error("the shared client was changed")
	}

	sub := &pluginapi.SubscribeCall{
		Client:         client,
		Subscription:   pluginapi.Subscription{Filter: "f/#", QoS: 2, NoLocal: true, RetainHandling: 1, Identifier: 9},
		UserProperties: []pluginapi.UserProperty{{Key: "p", Value: "q"}},
	}
	if v, err := s.Subscribe(t.Context(), sub); err != nil || v.Action != pluginapi.ActionPass || sub.Subscription.QoS != 1 || sub.Subscription.NoLocal {
		t.Errorf("subscribe: %+v, %v, %+v", v, err, sub.Subscription)
	}
	v, err = s.Unsubscribe(t.Context(), &pluginapi.UnsubscribeCall{Client: client, Filter: "f/#"})
	if diff := cmp.Diff(pluginapi.Refuse(pluginapi.ImplementationSpecificError, "stay"), v); diff != "" || err != nil {
		t.Errorf("unsubscribe: %v %s", err, diff)
	}
	v, err = s.Deliver(t.Context(), &pluginapi.DeliverCall{Receiver: "r", Retained: true, Message: &pluginapi.Message{Topic: "t", Retain: true}})
	if err != nil || v.Action != pluginapi.ActionDrop {
		t.Errorf("deliver: %+v, %v", v, err)
	}
	for _, e := range []pluginapi.Event{
		{Kind: pluginapi.EventConnected, ClientID: "c", Client: client},
		{Kind: pluginapi.EventDisconnected, ClientID: "c", Disconnect: pluginapi.TakenOver},
		{Kind: pluginapi.EventSubscribed, ClientID: "c", Subscription: &pluginapi.Subscription{Filter: "f", QoS: 1}},
		{Kind: pluginapi.EventUnsubscribed, ClientID: "c", Subscription: &pluginapi.Subscription{Filter: "f"}},
		{Kind: pluginapi.EventAcknowledged, ClientID: "c", Message: &pluginapi.Message{Topic: "t"}, Code: pluginapi.NoMatchingSubscribers},
		{Kind: pluginapi.EventRetainedChanged, Message: &pluginapi.Message{Topic: "t"}},
		{Kind: pluginapi.EventRetainedCleared},
		{Kind: pluginapi.EventPublished, Message: &pluginapi.Message{Topic: "t"}},
	} {
		if err := s.Event(t.Context(), &e); err != nil {
			t.Error(err)
		}
	}
	var told []string
	for _, p := range m.Published() {
		told = append(told, string(p.Payload))
	}
	if diff := cmp.Diff([]string{
		"connected c", "disconnected takeover", "subscribed f 1", "unsubscribed f", "acknowledged t no_matching_subscribers",
		"retained t True", "retained None True",
	}, told); diff != "" {
		t.Error(diff)
	}
}

// What makes no sense is an error at its place, never a silent pass.
func TestNonsense(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`context["acept_publish"] = False`, `rules.star:2:10: in on_intercept_application_message: on_intercept_application_message has no field "acept_publish"`},
		{`x = context["acept_publish"]`, "no field"},
		{`context["accept_publish"] = "no"`, "True or False"},
		{`context["accept_publish"] = None`, "True or False"},
		{`context["qos"] = 3`, "0, 1 or 2"},
		{`context["qos"] = True`, "0, 1 or 2"},
		{`context["topic"] = 1`, "a string"},
		{`context["topic"] = "a\x00b"`, "null character"},
		{`context["payload"] = {}`, "bytes, a string"},
		{`context["payload"] = [256]`, "0 to 255"},
		{`context["client_id"] = "x"`, "can't be changed"},
		{`context["reason_code"] = "nonsense"`, "no reason code"},
		{`context["reason_code"] = 77`, "no reason code 77"},
		{`context["user_properties"] = ["ab"]`, "(name, value)"},
		{`context["user_properties"].append(1)`, "(name, value)"},
		{`context["session_items"] = 1`, "a dict"},
		{`context["session_items"]["f"] = lambda: 1`, "JSON"},
		{`context["message_expiry_interval"] = -1`, "whole number"},
		{`return False`, "it returned False"},
		{`return context`, "it returned a context"},
		{`context.pop("topic")`, "has no .pop"},
		{`context.topic = "x"`, ""},
		{`publish(topic = "")`, "topic is missing"},
		{`publish(topic = "a", colour = "red")`, "no field"},
		{`http.get("http://example.com/")`, "http.hosts"},
	} {
		s, err := script.Load(t.Context(), folder("def on_intercept_application_message(context):\n  "+c.body+"\n"), script.Options{Limits: patient(script.Limits{})})
		if err == nil {
			_, err = s.Publish(t.Context(), &pluginapi.PublishCall{Client: &pluginapi.Client{ID: "c"}, Message: &pluginapi.Message{Topic: "t"}})
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "rules.star") {
			t.Errorf("%s: %v", c.body, err)
		}
	}
}

// One context goes through all scripts, A to Z; a failure ends it.
func TestScriptsInOrder(t *testing.T) {
	text := `
def on_intercept_application_message(context):
    context["payload"] = context["payload_text"] + "NAME"
    if context.get("_stop") == "NAME": fail("stopped")
    context["_last"] = "NAME"
`
	as := func(name string) string { return strings.ReplaceAll(text, "NAME", name) }
	s := mustLoad(t, script.Options{}, as("r"), "b.star", as("b"), "a.star", as("a"), "_no.star", as("no"), "a_test.star", as("test"), "lib/x.star", as("x"))
	if got := s.Scripts(); !slices.Equal(got, []string{"a.star", "b.star", "rules.star"}) {
		t.Errorf("scripts %v", got)
	}
	msg := &pluginapi.Message{Topic: "t"}
	if _, err := s.Publish(t.Context(), &pluginapi.PublishCall{Message: msg}); err != nil || string(msg.Payload) != "abr" {
		t.Errorf("%q, %v", msg.Payload, err)
	}
}

// The interest follows from what the functions do.
func TestInterest(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []pluginapi.Interest
	}{
		{"nothing", "x = 1\n", nil},
		{"headers only", "def on_intercept_application_message(context):\n  if context[\"topic\"] == \"x\": context[\"qos\"] = 0\n", []pluginapi.Interest{
			{Hook: pluginapi.HookPublish, Payload: pluginapi.PayloadNone, MayChange: []pluginapi.Field{pluginapi.FieldQoS}},
		}},
		{"payload", "def on_intercept_application_message(context):\n  x = context.get(\"payload_text\")\n", []pluginapi.Interest{
			{Hook: pluginapi.HookPublish, Payload: pluginapi.PayloadFull},
		}},
		{"unknown use", "def f(c): pass\ndef on_deliver(context):\n  f(context)\n", []pluginapi.Interest{
			{Hook: pluginapi.HookDeliver, Payload: pluginapi.PayloadFull, MayChange: []pluginapi.Field{
				pluginapi.FieldContentType, pluginapi.FieldExpiry, pluginapi.FieldPayload, pluginapi.FieldQoS, pluginapi.FieldResponse, pluginapi.FieldRetain,
				pluginapi.FieldTopic, pluginapi.FieldUserProperties,
			}},
		}},
		{"another function by that name", "def on_intercept_application_message(context): pass\ng = lambda c: c[\"payload\"]\non_intercept_application_message = g\n", nil},
		{"topics", "def on_intercept_subscription(context): pass\ntopics(on_intercept_subscription, \"a/#\", \"b\")\n", []pluginapi.Interest{
			{
				Hook: pluginapi.HookSubscribe, Payload: pluginapi.PayloadNone, Filters: []string{"a/#", "b"},
				MayChange: []pluginapi.Field{pluginapi.FieldQoS, pluginapi.FieldSubscription},
			},
		}},
		{"events", "def on_client_connected(c): pass\ndef on_retained_changed(c): x = c[\"payload\"]\n", []pluginapi.Interest{
			{Hook: pluginapi.HookEvent, Payload: pluginapi.PayloadNone, Events: []pluginapi.EventKind{pluginapi.EventConnected}},
			{Hook: pluginapi.HookEvent, Payload: pluginapi.PayloadFull, Events: []pluginapi.EventKind{pluginapi.EventRetainedChanged, pluginapi.EventRetainedCleared}},
		}},
	} {
		got := mustLoad(t, script.Options{}, c.text).Interest()
		if c.name == "another function by that name" {
			if len(got) != 1 || got[0].Payload != pluginapi.PayloadFull {
				t.Errorf("%s: %+v", c.name, got)
			}
			continue
		}
		for i := range got {
			if len(got[i].MayChange) == 0 {
				got[i].MayChange = nil
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// Restricted functions are called where their filters match, also what a
// predecessor has made of the topic, and for subscriptions that cover them.
func TestTopics(t *testing.T) {
	s := mustLoad(t, script.Options{}, `
def on_intercept_application_message(context): context["payload"] = "seen"
topics(on_intercept_application_message, "a/+")
def on_intercept_subscription(context): context["accept_subscription"] = False
topics(on_intercept_subscription, "secret/#")
`)
	for topic, seen := range map[string]bool{"a/b": true, "a/b/c": false, "b": false, "$a/b": false} {
		msg := &pluginapi.Message{Topic: topic}
		if _, err := s.Publish(t.Context(), &pluginapi.PublishCall{Message: msg}); err != nil || (string(msg.Payload) == "seen") != seen {
			t.Errorf("%s: %q, %v", topic, msg.Payload, err)
		}
	}
	for filter, refused := range map[string]bool{
		"secret": true, "secret/x": true, "#": true, "+": true, "+/x": true, "$share/g/secret/x": true, "open/#": false, "$SYS/#": false, "+/+/+": true,
	} {
		v, err := s.Subscribe(t.Context(), &pluginapi.SubscribeCall{Client: &pluginapi.Client{}, Subscription: pluginapi.Subscription{Filter: filter}})
		if err != nil || (v.Action == pluginapi.ActionRefuse) != refused {
			t.Errorf("%s: %+v, %v", filter, v, err)
		}
	}
}

// Many calls at once share nothing but what they update in one step.
func TestSharedData(t *testing.T) {
	var m script.Memory
	s := mustLoad(t, script.Options{Broker: m.Broker(), Limits: script.Limits{Time: time.Minute}}, `
def on_intercept_application_message(context):
    update_shared_data("n", lambda n: n + 1, 0)
    mqtt_net_server.write_shared_data("last", {"topic": context["topic"]})
    if mqtt_net_server.read_shared_data("last", None)["topic"] != "t" or read_shared_data("none", 7) != 7:
        fail("lost")

def initialize():
    write_shared_data("gone", 1)
    write_shared_data("gone", None)
    publish({"topic": "n", "payload": "%d %s" % (read_shared_data("n"), read_shared_data("gone"))})
`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := s.Publish(t.Context(), &pluginapi.PublishCall{Message: &pluginapi.Message{Topic: "t"}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := string(m.Published()[0].Payload); got != "400 None" {
		t.Error(got)
	}
}
