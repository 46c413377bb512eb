//go:build unix

package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// What is asked for and does not exist, or can't be, is told apart in every way.
func TestAdminRefusals(t *testing.T) {
	s := newSite(t, "")
	s.stamper("1.0.0", "")
	p := s.start()
	brokertest.At(t, p.addr).Connect("c", brokertest.V311)
	cases := []struct {
		adminCase
		grpc string
	}{}
	add := func(code, method, asks, args, want string, exit int) {
		cases = append(cases, struct {
			adminCase
			grpc string
		}{adminCase{method: method, asks: asks, args: args, want: want, exit: exit}, code})
	}
	for _, tt := range [][3]string{
		{"AdminService/GetPlugin", `{"name":"no"}`, "plugin info no"},
		{"AdminService/ReloadPlugin", `{"name":"no"}`, "plugin reload no"},
		{"AdminService/EnablePlugin", `{"name":"no"}`, "plugin enable no"},
		{"AdminService/DisablePlugin", `{"name":"no"}`, "plugin disable no"},
		{"ClientService/GetClient", `{"clientId":"no"}`, "client get no"},
		{"ClientService/DisconnectClient", `{"clientId":"no"}`, "client disconnect no"},
		{"ClientService/RevalidateClient", `{"clientId":"no"}`, "client revalidate no"},
		{"ClientService/ResetClientStatistics", `{"clientId":"no"}`, "client reset no"},
		{"SessionService/GetSession", `{"clientId":"no"}`, "session get no"},
		{"SessionService/DeleteSession", `{"clientId":"no"}`, "session delete no"},
		{"SessionService/ClearSessionQueue", `{"clientId":"no"}`, "session clear no"},
		{"SessionService/EnqueueMessage", `{"clientId":"no","message":{"topic":"t"}}`, "session send no t"},
		{"SessionService/UpdateSessionItems", `{"clientId":"no"}`, "session items no"},
		{"SubscriptionService/AddSubscriptions", `{"clientId":"no","subscriptions":[{"filter":"a"}]}`, "subscription add no a"},
		{"SubscriptionService/RemoveSubscriptions", `{"clientId":"no","filters":["a"]}`, "subscription remove no a"},
		{"RetainedService/GetRetained", `{"topic":"no"}`, "retained get no"},
		{"SharedDataService/GetSharedData", `{"key":"no"}`, "shared get no"},
		{"SharedDataService/DeleteSharedData", `{"key":"no"}`, "shared delete no"},
		{"BanService/RemoveBan", `{"kind":"username","value":"no"}`, "ban remove user no"},
		{"QuotaService/ResetQuota", `{"account":"no"}`, "quota reset no"},
		{"DebugService/Explain", `{"clientId":"no","topic":"t","action":"EXPLAINED_ACTION_PUBLISH"}`, "explain --client no --topic t"},
		{"DebugService/WatchCalls", `{"plugin":"no"}`, "plugin trace no"},
		{"ShadowService/StartShadow", `{"plugin":"no","path":"/no"}`, "plugin shadow no /no"},
		{"ShadowService/FollowShadow", `{"plugin":"no"}`, "plugin shadow no"},
		{"ShadowService/StopShadow", `{"plugin":"no"}`, "plugin shadow no --stop"},
		{"ShadowService/GetShadow", `{"plugin":"stamper"}`, "plugin shadow stamper"},
	} {
		add("NotFound", tt[0], tt[1], tt[2], `no|stamper`, exitNotFound)
	}
	add("InvalidArgument", "PublishService/Publish", `{"message":{"topic":"a/#"}}`, "message publish a/#", `a/#`, 1)
	add("InvalidArgument", "RetainedService/PutRetained", `{"message":{"topic":"a/#","text":"x"}}`, "retained put a/# x", `a/#`, 1)
	add("InvalidArgument", "RetainedService/DeleteRetained", `{}`, "retained delete", `filter|all`, 1)
	add("InvalidArgument", "RetainedService/ListRetained", `{"filter":"#/a"}`, "retained list #/a", `#/a`, 1)
	add("InvalidArgument", "RetainedService/ExportRetained", `{"filter":"#/a"}`, "retained export #/a", `#/a`, 1)
	add("InvalidArgument", "EventService/WatchEvents", `{"topicFilters":["#/a"]}`, "client watch --topic #/a", `#/a`, 1)
	add("InvalidArgument", "ClientService/ListClients", `{"address":"home"}`, "client list --address home", `home`, 1)
	add("InvalidArgument", "SubscriptionService/ListSubscriptions", `{"topic":"#/a"}`, "subscription list --topic #/a", `#/a`, 1)
	add("InvalidArgument", "BanService/AddBan", `{"kind":"address","value":"home"}`, "ban add address home", `home`, 1)
	add("FailedPrecondition", "SharedDataService/PutSharedData", `{"key":"k","text":"x","ifVersion":"9"}`, "shared put k x --if-version 9", `version`, 1)
	add("FailedPrecondition", "RetainedService/Migrate", `{"from":"memory","to":"memory"}`, "retained migrate memory memory", `memory`, 1)
	overGRPC, overHTTP := p.overGRPC(t), p.overHTTP(t)
	never := func(string) bool { return false }
	for _, tt := range cases {
		t.Run(tt.method, func(t *testing.T) {
			want := regexp.MustCompile(tt.want)
			if _, failed := overGRPC(t, &tt.adminCase, never); !strings.HasPrefix(failed, tt.grpc+": ") || !want.MatchString(failed) {
				t.Errorf("gRPC: %s", failed)
			}
			code := regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(tt.grpc, "${1}_$2")
			if _, failed := overHTTP(t, &tt.adminCase, never); !strings.HasPrefix(failed, strings.ToLower(code)+": ") || !want.MatchString(failed) {
				t.Errorf("JSON: %s", failed)
			}
			c := p.typeIn("", strings.Fields(tt.args)...)
			if exit := c.wait(); exit != tt.exit || !want.MatchString(c.err.String()) || c.out.String() != "" && exit == exitNotFound {
				t.Errorf("broker %s: %d %s%s", tt.args, exit, &c.err, &c.out)
			}
		})
	}
}

// Without the token nobody gets anywhere, in no way; commands tell that from a
// broker that is not there.
func TestAdminCallsWithoutToken(t *testing.T) {
	s := newSite(t, "admin: {url: 'http://127.0.0.1:0'}\n")
	p := s.start()
	at := p.adminURL()
	conn, err := grpc.NewClient(strings.TrimPrefix(at, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	overGRPC, overHTTP := grpcWay(adminMethods(), conn), httpWay(http.DefaultClient, at)
	words := strings.NewReplacer("{way}", "x", "{from}", "memory", "{to}", "memory", "{next}", "/x", "{config.json}", s.path("empty.json"), "{config}", "")
	s.write("empty.json", "{}")
	never := func(string) bool { return false }
	for _, tt := range adminCases {
		t.Run(tt.method, func(t *testing.T) {
			tt.asks, tt.args = words.Replace(tt.asks), words.Replace(tt.args)
			if _, failed := overGRPC(t, &tt, never); !strings.HasPrefix(failed, "Unauthenticated: ") {
				t.Errorf("gRPC: %s", failed)
			}
			if _, failed := overHTTP(t, &tt, never); !strings.Contains(failed, "wants a token") {
				t.Errorf("JSON: %s", failed)
			}
			for where, want := range map[string]int{at: exitRefused, "unix://" + s.path("nowhere.sock"): exitNoBroker} {
				c := s.typeAway(append(strings.Fields(tt.args), "--admin", where)...)
				if exit := c.wait(); exit != want || c.out.String() != "" {
					t.Errorf("broker %s at %s: %d %s%s", tt.args, where, exit, &c.err, &c.out)
				}
			}
		})
	}
}

// A publish that a hook refuses ends the command with the reason code, and a
// file with a mistake names the line.
func TestMessageCommands(t *testing.T) {
	s := newSite(t, "plugins: {interceptlog: {config: {rules: [{match: {topic: 'no/#'}, actions: [{refuse: {code: quota exceeded, reason: 'not here'}}]}]}}}\n", "interceptlog")
	p := s.start()
	c := brokertest.At(t, p.addr).Connect("c")
	c.Subscribe(1, "#")
	for _, tt := range []struct {
		input, args string
		exit        int
		want        string
	}{
		{"typed", "message publish a/1 --stdin -q 1 -r --expiry 60 --content-type text --response-topic b --correlation z", 0, "^published to 1 clients\n$"},
		{"", "message publish no/1 x", 0x97, `^broker: refused: 0x97 .*not here`},
		{"", "message publish a --property novalue", 1, `NAME=VALUE`},
		{`{"topic":"no/1"}` + "\n" + `{"topic":"a/2"}`, "message batch -", 1, `(?s)1 messages were refused; the first: .*not here.*1 messages published, 1 deliveries`},
		{`{"topic":"a/3"}` + "\n\n" + `{"topc":"a/4"}`, "message batch -", 1, `(?s)-:3: .*unknown field "topc".*1 messages published`},
		{`{"topic":"a/5"}` + "\n" + `{"topic":"a/#"}`, "message batch -", 1, `message 2: .*a/#`},
		{"", "message batch nowhere", 1, `nowhere`},
		{"", "session items c --set novalue", 1, `NAME=VALUE`},
		{"", "session items c --set a=1 --set b=2", 0, `(?s)item a +1\nitem b +2`},
		{"", "session items c --remove a", 0, `^item b +2\n$`},
		{"", "client reset c", 0, `the counters of c begin at 0`},
	} {
		typed := s.typeIn(tt.input, strings.Fields(tt.args)...)
		if exit := typed.wait(); exit != tt.exit || !regexp.MustCompile(tt.want).MatchString(typed.err.String()+typed.out.String()) {
			t.Errorf("%s: %d %s%s", tt.args, exit, &typed.err, &typed.out)
		}
	}
	m := c.ExpectMessage("a/1", "typed")
	if q := m.Message.Properties; q == nil || !q.HasExpiry || q.ContentType != "text" || q.ResponseTopic != "b" || string(q.CorrelationData) != "z" {
		t.Errorf("%+v", m)
	}
	c.ExpectMessage("a/2", "")
	c.ExpectMessage("a/3", "")
	c.ExpectMessage("a/5", "")
}
