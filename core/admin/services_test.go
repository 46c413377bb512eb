package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

// asked is a server whose API is spoken to as curl and as a gRPC client would.
type asked struct {
	t   *testing.T
	url string
	hc  *http.Client
}

func ask(t *testing.T, h http.Handler) *asked {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return &asked{t, srv.URL, srv.Client()}
}

// json posts a request and returns the answer, or the code of the error.
func (a *asked) json(method, body string) (answer, code string) {
	a.t.Helper()
	res, err := a.hc.Post(a.url+"/gatehouse.admin.v1."+method, "application/json", strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			a.t.Fatal(err)
		}
		return compact.String(), ""
	}
	var failed struct{ Code, Message string }
	if err := json.Unmarshal(text, &failed); err != nil || failed.Message == "" {
		a.t.Fatalf("%s: %s %q", method, res.Status, text)
	}
	return failed.Message, failed.Code
}

// Each call as curl would make it. What is said is what is not in the answer.
func TestCalls(t *testing.T) {
	b, h := shown(t)
	a := ask(t, h)
	c := b.Connect("lamp 1", brokertest.Resume, func(p *packet.Connect) { p.Username, p.HasUsername = "alice", true })
	c.Subscribe(1, "lamps/#", "$share/g/work")
	b.Connect("sensor", brokertest.V311)
	b.Connect("away", brokertest.Resume).Disconnect()
	for _, tt := range []struct {
		method, body string
		want         string // a part of the answer
		code         string
	}{
		{"AdminService/GetStatus", `{}`, `"version":"1.2.3"`, ""},
		{"ClientService/ListClients", `{}`, `"clientId":"lamp 1"`, ""},
		{"ClientService/ListClients", `{"clientId":"l*","username":"al?ce","version":"5","address":"127.0.0.0/8","listener":"test"}`, `"username":"alice"`, ""},
		{"ClientService/ListClients", `{"clientId":"x*"}`, `{}`, ""},
		{"ClientService/ListClients", `{"address":"::1"}`, `{}`, ""},
		{"ClientService/ListClients", `{"version":"3.1.1"}`, `"clientId":"sensor"`, ""},
		{"ClientService/ListClients", `{"limit":1}`, `"nextCursor":"lamp 1"`, ""},
		{"ClientService/ListClients", `{"limit":1,"cursor":"lamp 1"}`, `"clientId":"sensor"`, ""},
		{"ClientService/ListClients", `{"limit":1001}`, `at most 1000`, "invalid_argument"},
		{"ClientService/ListClients", `{"version":"4"}`, `3.1.1`, "invalid_argument"},
		{"ClientService/ListClients", `{"address":"home"}`, `neither`, "invalid_argument"},
		{"ClientService/GetClient", `{"clientId":"lamp 1"}`, `"mountpoint"`, "not this"},
		{"ClientService/GetClient", `{"clientId":"away"}`, `no client \"away\" is connected`, "not_found"},
		{"ClientService/RevalidateClient", `{"clientId":"lamp 1"}`, `{}`, ""},
		{"ClientService/RevalidateClient", `{"clientId":"none"}`, `none`, "not_found"},
		{"ClientService/ResetClientStatistics", `{"clientId":"lamp 1"}`, `{}`, ""},
		{"ClientService/ResetClientStatistics", `{"clientId":"none"}`, `none`, "not_found"},
		{"ClientService/DisconnectClient", `{"clientId":"none"}`, `none`, "not_found"},
		{"ClientService/DisconnectClient", `{"clientId":"sensor","reasonCode":4}`, `128`, "invalid_argument"},
		{"SessionService/ListSessions", `{"connected":false}`, `"clientId":"away"`, ""},
		{"SessionService/ListSessions", `{"clientId":"lamp*","username":"alice"}`, `"subscriptionCount":"2"`, ""},
		{"SessionService/ListSessions", `{"minPending":"1"}`, `{}`, ""},
		{"SessionService/GetSession", `{"clientId":"lamp 1"}`, `"filter":"lamps/#"`, ""},
		{"SessionService/GetSession", `{"clientId":""}`, `no session`, "not_found"},
		{"SessionService/UpdateSessionItems", `{"clientId":"lamp 1","set":{"room":"a2l0Y2hlbg=="}}`, `"room":"a2l0Y2hlbg=="`, ""},
		{"ClientService/GetClient", `{"clientId":"lamp 1"}`, `"room":"a2l0Y2hlbg=="`, ""},
		{"SessionService/UpdateSessionItems", `{"clientId":"none"}`, `none`, "not_found"},
		{"SubscriptionService/ListSubscriptions", `{"topic":"lamps/1"}`, `"filter":"lamps/#"`, ""},
		{"SubscriptionService/ListSubscriptions", `{"group":"g","topic":"work"}`, `"filter":"$share/g/work"`, ""},
		{"SubscriptionService/ListSubscriptions", `{"group":"h"}`, `{}`, ""},
		{"SubscriptionService/ListSubscriptions", `{"topic":"a/#"}`, `a/#`, "invalid_argument"},
		{"SubscriptionService/ListSubscriptions", `{"cursor":"?"}`, `cursor`, "invalid_argument"},
		{"SubscriptionService/ListSubscriptions", `{"filter":"lamps/#","limit":1}`, `"nextCursor":`, ""},
		{"SubscriptionService/AddSubscriptions", `{"clientId":"away","subscriptions":[{"filter":"a/#","qos":1},{"filter":"#/a"}]}`, `{"reasonCodes":[1,143]}`, ""},
		{"SubscriptionService/AddSubscriptions", `{"clientId":"away","subscriptions":[{"filter":"a/#","qos":3}]}`, `QoS 3`, "invalid_argument"},
		{"SubscriptionService/AddSubscriptions", `{"clientId":"none","subscriptions":[{"filter":"a"}]}`, `none`, "not_found"},
		{"SubscriptionService/AddSubscriptions", `{"clientId":"away"}`, `no subscription`, "invalid_argument"},
		{"PublishService/Publish", `{"message":{"topic":"a/b","text":"hello","qos":1,"userProperties":[{"key":"k","value":"v"}]}}`, `{"receivers":1}`, ""},
		{"PublishService/Publish", `{"message":{"topic":"a/#"}}`, `a/#`, "invalid_argument"},
		{"PublishService/Publish", `{"message":{"topic":"a","text":"x","payload":"eA=="}}`, `not both`, "invalid_argument"},
		{"PublishService/Publish", `{}`, `no message`, "invalid_argument"},
		{"SessionService/EnqueueMessage", `{"clientId":"away","message":{"topic":"direct","qos":1}}`, `"queued":true`, ""},
		{"SessionService/EnqueueMessage", `{"clientId":"away","message":{"topic":"direct","qos":0}}`, `"dropped":"offline"`, ""},
		{"SessionService/EnqueueMessage", `{"clientId":"none","message":{"topic":"direct"}}`, `none`, "not_found"},
		{"SessionService/ListSessions", `{"minPending":"2"}`, `"pending":"2"`, ""},
		{"SessionService/ClearSessionQueue", `{"clientId":"away"}`, `{"dropped":"2"}`, ""},
		{"SessionService/ClearSessionQueue", `{"clientId":"none"}`, `none`, "not_found"},
		{"SubscriptionService/RemoveSubscriptions", `{"clientId":"away","filters":["a/#","b"]}`, `{"reasonCodes":[0,17]}`, ""},
		{"SubscriptionService/RemoveSubscriptions", `{"clientId":"none","filters":["a/#"]}`, `none`, "not_found"},
		{"SubscriptionService/RemoveSubscriptions", `{"clientId":"away"}`, `no filter`, "invalid_argument"},
		{"SessionService/DeleteSession", `{"clientId":"away"}`, `{}`, ""},
		{"SessionService/DeleteSession", `{"clientId":"away"}`, `away`, "not_found"},
		{"SharedDataService/PutSharedData", `{"key":"k","text":"one"}`, `{"version":"1"}`, ""},
		{"SharedDataService/PutSharedData", `{"key":"k","text":"two","ifVersion":"7"}`, `version 1`, "failed_precondition"},
		{"SharedDataService/PutSharedData", `{"key":"k","text":"two","ifVersion":"1"}`, `{"version":"2"}`, ""},
		{"SharedDataService/PutSharedData", `{"key":"","text":"two"}`, `empty`, "invalid_argument"},
		{"SharedDataService/GetSharedData", `{"key":"k"}`, `"value":"dHdv"`, ""},
		{"SharedDataService/GetSharedData", `{"key":"none"}`, `none`, "not_found"},
		{"SharedDataService/ListSharedData", `{"values":true,"limit":1}`, `"nextCursor":"k"`, ""},
		{"SharedDataService/ListSharedData", `{"prefix":"x"}`, `{}`, ""},
		{"SharedDataService/DeleteSharedData", `{"key":"k","ifVersion":"1"}`, `version 2`, "failed_precondition"},
		{"SharedDataService/DeleteSharedData", `{"key":"k","ifVersion":"2"}`, `{}`, ""},
		{"SharedDataService/DeleteSharedData", `{"key":"k","ifVersion":"2"}`, `k`, "not_found"},
		{"SharedDataService/DeleteSharedData", `{"key":"k"}`, `k`, "not_found"},
		{"RetainedService/PutRetained", `{"message":{"topic":"r/1","text":"one","expirySeconds":60}}`, `"revision":"1"`, ""},
		{"RetainedService/PutRetained", `{"message":{"topic":"r/#","text":"one"}}`, `r/#`, "invalid_argument"},
		{"RetainedService/ListRetained", `{"filter":"r/+","payloadBytes":2}`, `"payload":"b24=","payloadSize":"3"`, ""},
		{"RetainedService/ListRetained", `{"filter":"a/#/b"}`, `a/#/b`, "invalid_argument"},
		{"RetainedService/ListRetained", `{"limit":1001}`, `at most`, "invalid_argument"},
		{"RetainedService/GetRetained", `{"topic":"r/1"}`, `"payload":"b25l"`, ""},
		{"RetainedService/GetRetained", `{"topic":"r/2"}`, `r/2`, "not_found"},
		{"RetainedService/DeleteRetained", `{}`, `say all`, "invalid_argument"},
		{"RetainedService/DeleteRetained", `{"filter":"r","all":true}`, `say all`, "invalid_argument"},
		{"RetainedService/DeleteRetained", `{"filter":"r/#/x"}`, `r/#/x`, "invalid_argument"},
		{"RetainedService/DeleteRetained", `{"filter":"r/#"}`, `{"deleted":"1"}`, ""},
		{"RetainedService/DeleteRetained", `{"all":true}`, `{}`, ""},
		{"BanService/AddBan", `{"kind":"address","value":"10.1.2.3/8","reason":"rude","durationSeconds":"60"}`, `"value":"10.0.0.0/8","reason":"rude","by":"admin"`, ""},
		{"BanService/AddBan", `{"kind":"username","value":"mallory"}`, `"kind":"username"`, ""},
		{"BanService/AddBan", `{"kind":"nothing","value":"x"}`, `nothing`, "invalid_argument"},
		{"BanService/AddBan", `{"kind":"username","value":"x","durationSeconds":"18446744073709551615"}`, `seconds`, "invalid_argument"},
		{"BanService/ListBans", `{"limit":1}`, `"nextCursor":"address 10.0.0.0/8"`, ""},
		{"BanService/ListBans", `{"limit":1,"cursor":"address 10.0.0.0/8"}`, `"value":"mallory"`, ""},
		{"BanService/ListBans", `{"kind":"client_id"}`, `{}`, ""},
		{"BanService/RemoveBan", `{"kind":"address","value":"10.0.0.9/8"}`, `{}`, ""},
		{"BanService/RemoveBan", `{"kind":"address","value":"10.0.0.9/8"}`, `not banned`, "not_found"},
		{"BanService/AddBan", `{"kind":"client_id","value":"sensor"}`, `"ended":"1"`, ""},
		{"QuotaService/ListQuotas", `{}`, `{}`, ""},
		{"QuotaService/ListQuotas", `{"limit":1001}`, `at most`, "invalid_argument"},
		{"QuotaService/ResetQuota", `{"account":"v/nobody"}`, `has used nothing`, "not_found"},
		{"ListenerService/ListListeners", `{}`, `"name":"one"`, ""},
		{"ConfigService/GetConfig", `{}`, `level: info`, ""},
		{"ConfigService/CheckConfig", `{}`, `"needsRestart":["limits"]`, ""},
		{"ConfigService/ReloadConfig", `{}`, `"rejected":true`, ""},
		{"ClientService/DisconnectClient", `{"clientId":"lamp 1","reasonCode":139,"reason":"bye"}`, `{}`, ""},
	} {
		answer, code := a.json(tt.method, tt.body)
		if tt.code == "not this" {
			if strings.Contains(answer, tt.want) || code != "" {
				t.Errorf("%s %s: %s, %s", tt.method, tt.body, answer, code)
			}
			continue
		}
		if code != tt.code || !strings.Contains(answer, strings.ReplaceAll(tt.want, `\"`, `"`)) {
			t.Errorf("%s %s: %s %s", tt.method, tt.body, code, answer)
		}
	}
	c.Expect(&packet.Disconnect{Code: mqtt.ServerShuttingDown, Reason: "bye"})
}

// Streams, over gRPC.
func TestStreams(t *testing.T) {
	b, h := shown(t)
	a := ask(t, h)
	retained := adminv1connect.NewRetainedServiceClient(a.hc, a.url, connect.WithGRPC())
	up := retained.ImportRetained(t.Context())
	old := &adminv1.RetainedMessage{Topic: "gone", Payload: []byte("x"), CreatedUnixNanos: 1, ExpiresUnixNanos: 2}
	full := &adminv1.RetainedMessage{
		Topic: "full", Payload: []byte("y"), Qos: 2, Publisher: "p", CreatedUnixNanos: 3e9, ExpiresUnixNanos: 4e18, ContentType: "c",
		ResponseTopic: "r", CorrelationData: []byte("d"), UserProperties: []*adminv1.RetainedUserProperty{{Key: "k", Value: "v"}},
	}
	yes := true
	full.PayloadIsUtf8 = &yes
	full.ExpiresUnixNanos = full.GetCreatedUnixNanos() + 4e9*1e9
	for range 3 {
		if err := up.Send(&adminv1.ImportRetainedRequest{Messages: []*adminv1.RetainedMessage{old, full, {Topic: "t", Payload: []byte("z")}}}); err != nil {
			t.Fatal(err)
		}
	}
	res, err := up.CloseAndReceive()
	if err != nil || res.Msg.GetImported() != 6 || res.Msg.GetExpired() != 3 {
		t.Fatalf("%v, %v", res, err)
	}
	up = retained.ImportRetained(t.Context())
	_ = up.Send(&adminv1.ImportRetainedRequest{Messages: []*adminv1.RetainedMessage{{Topic: "u", Payload: []byte("u")}, {Topic: "#", Payload: []byte("z")}}})
	if _, err := up.CloseAndReceive(); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "after 1 messages") {
		t.Errorf("a filter for a topic: %v", err)
	}
	up = retained.ImportRetained(t.Context())
	_ = up.Send(&adminv1.ImportRetainedRequest{Messages: []*adminv1.RetainedMessage{{Topic: "u", Payload: []byte("u"), PayloadSize: 2}}})
	if _, err := up.CloseAndReceive(); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("half a payload: %v", err)
	}
	down, err := retained.ExportRetained(t.Context(), connect.NewRequest(&adminv1.ExportRetainedRequest{Filter: "full"}))
	if err != nil || !down.Receive() || down.Msg().GetTotal() != 1 {
		t.Fatalf("%v, %v", err, down.Err())
	}
	got := down.Msg().GetMessages()[0]
	got.Origin, got.PayloadSize = "", 0
	if got.String() != full.String() {
		t.Errorf("exported %v, imported %v", got, full)
	}
	_ = down.Close()
	if _, ok := b.Retained().Get("u"); !ok {
		t.Error("what came before a mistake is not there")
	}

	publish := adminv1connect.NewPublishServiceClient(a.hc, a.url, connect.WithGRPC())
	c := b.Connect("c")
	c.Subscribe(0, "t")
	stream, err := publish.PublishBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := stream.Send(&adminv1.PublishBatchRequest{Messages: []*adminv1.Message{{Topic: "t", Text: "1"}, {Topic: "none"}}}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := stream.CloseAndReceive()
	if err != nil || out.GetPublished() != 4 || out.GetReceivers() != 2 {
		t.Errorf("%v, %v", out, err)
	}
	c.ExpectMessage("t", "z") // retained
	c.ExpectMessage("t", "1")
	c.ExpectMessage("t", "1")
}

// watcher watches events.
func (a *asked) watch(ctx context.Context, req *adminv1.WatchEventsRequest) *connect.ServerStreamForClient[adminv1.WatchEventsResponse] {
	a.t.Helper()
	client := adminv1connect.NewEventServiceClient(a.hc, a.url, connect.WithGRPC())
	stream, err := client.WatchEvents(ctx, req)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = stream.Close() })
	return stream
}

func TestWatchEvents(t *testing.T) {
	b, h := shown(t)
	a := ask(t, h)
	b.Connect("early")
	s := a.watch(t.Context(), &adminv1.WatchEventsRequest{
		ClientId: "l*", TopicFilters: []string{"a/+"}, PayloadBytes: 2, Snapshot: true,
		Kinds: []adminv1.EventKind{adminv1.EventKind_EVENT_KIND_CONNECTED, adminv1.EventKind_EVENT_KIND_PUBLISHED, adminv1.EventKind_EVENT_KIND_SUBSCRIBED},
	})
	if !s.Receive() || len(s.Msg().GetEvents()) != 0 {
		t.Fatalf("%v, %v", s.Msg(), s.Err())
	}
	c := b.Connect("late")
	b.Connect("other")
	c.Subscribe(1, "x")
	for _, topic := range []string{"b/1", "a/1"} {
		c.Publish(mqtt.Message{Topic: topic, Payload: []byte("hello")}, 0)
	}
	var got []string
	for len(got) < 5 && s.Receive() {
		for _, e := range s.Msg().GetEvents() {
			kind := strings.TrimPrefix(e.GetKind().String(), "EVENT_KIND_")
			got = append(got, strings.TrimSpace(kind+" "+e.GetClientId()+e.GetMessage().GetTopic()+e.GetSubscription().GetFilter()))
			if m := e.GetMessage(); m != nil && (string(m.GetPayload()) != "he" || e.GetPayloadSize() != 5 || e.GetPublisher() != "late") {
				t.Errorf("%v", e)
			}
		}
	}
	want := "SNAPSHOT_BEGINS SNAPSHOT_ENDS CONNECTED late SUBSCRIBED latex PUBLISHED latea/1"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q", strings.Join(got, " "))
	}
	for name, req := range map[string]*adminv1.WatchEventsRequest{
		"kind":   {Kinds: []adminv1.EventKind{99}},
		"filter": {TopicFilters: []string{"#/a"}},
		"buffer": {Buffer: 1 << 20},
	} {
		s := a.watch(t.Context(), req)
		if s.Receive() || connect.CodeOf(s.Err()) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, s.Err())
		}
	}
}

// Of many watchers so many are let in that clients do not feel them, and there
// is room again when they go.
func TestTooManyWatchers(t *testing.T) {
	_, h := shown(t)
	a := ask(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	refused := 0
	for range 70 {
		s := a.watch(ctx, new(adminv1.WatchEventsRequest))
		if s.Receive() {
			continue
		}
		refused++
		if connect.CodeOf(s.Err()) != connect.CodeResourceExhausted {
			t.Error(s.Err())
		}
	}
	if refused != 6 {
		t.Errorf("%d refused", refused)
	}
	cancel()
	for !a.watch(t.Context(), new(adminv1.WatchEventsRequest)).Receive() {
		if t.Context().Err() != nil {
			t.Fatal("there is never room again")
		}
	}
}

func TestBadBodies(t *testing.T) {
	a := ask(t, handler(t))
	for _, body := range []string{`{`, `[]`, strings.Repeat("x", 17<<20)} {
		if _, code := a.json("ClientService/ListClients", body); code != "invalid_argument" && code != "resource_exhausted" {
			t.Errorf("%.10q: %s", body, code)
		}
	}
}

// JSON that says what nobody understands is refused by name, everywhere in it;
// programs that speak protobuf may know more than the broker.
func TestUnknownFields(t *testing.T) {
	_, h := shown(t)
	a := ask(t, h)
	for _, tt := range []struct{ method, body, want string }{
		{"ClientService/ListClients", `{"usrname":"alice"}`, `ListClientsRequest: (line 1:2): unknown field "usrname"`},
		{"ClientService/ListClients", `{"username":"alice","username":"bob"}`, `duplicate field`},
		{"PublishService/Publish", "{\"message\":{\"topic\":\"a\",\n\"texts\":\"x\"}}", `PublishRequest: (line 2:1): unknown field "texts"`},
		{"SubscriptionService/AddSubscriptions", `{"clientId":"a","subscriptions":[{"fliter":"x"}]}`, `unknown field "fliter"`},
		{"AdminService/GetStatus", ` `, `write {}`},
		{"AdminService/GetStatus", `{"a":{"b":[1,2]}}`, `unknown field "a"`},
	} {
		if said, code := a.json(tt.method, tt.body); code != "invalid_argument" || !strings.Contains(said, tt.want) {
			t.Errorf("%s %s: %s %s", tt.method, tt.body, code, said)
		}
	}
	for _, contentType := range []string{"application/json; charset=utf-8", "application/json;charset=UTF-8"} {
		res, err := a.hc.Post(a.url+"/gatehouse.admin.v1.ClientService/ListClients", contentType, strings.NewReader(`{"usrname":"alice"}`))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "usrname") {
			t.Errorf("%s: %s %s", contentType, res.Status, text)
		}
	}
	later := new(adminv1.ListClientsRequest)
	later.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1))
	if _, err := adminv1connect.NewClientServiceClient(a.hc, a.url, connect.WithGRPC()).ListClients(t.Context(), later); err != nil {
		t.Errorf("a field of a later version over gRPC: %v", err)
	}
}
