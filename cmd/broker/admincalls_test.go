//go:build unix

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// adminCase is one call of the admin API: over gRPC and as JSON over HTTP, where
// asks are its requests, and as a command. In all of it {way} is how it is made,
// so that the three do not meet, and other words in braces are of the site.
type adminCase struct {
	method string
	asks   string // requests in JSON, one a line
	args   string // the command, which prints JSON
	input  string // of the command
	exit   int    // of the command
	want   string // a regular expression of what all three answer, with the contract's names
	busy   bool   // while a client publishes
}

// adminCases are all calls there are, in an order in which they can be made.
var adminCases = []adminCase{
	{method: "AdminService/GetStatus", asks: `{}`, args: "status", want: `"listeners":\["tcp://127`},
	{method: "AdminService/ListPlugins", asks: `{}`, args: "plugin list", want: `"name":"interceptlog"`},
	{method: "AdminService/GetPlugin", asks: `{"name":"interceptlog"}`, args: "plugin info interceptlog", want: `"name":"interceptlog".*"hooks":\[`},
	{
		method: "AdminService/ReloadPlugin", asks: `{"name":"interceptlog"}`,
		args: "plugin reload interceptlog", want: `"name":"interceptlog".*"state":"PLUGIN_STATE_READY"`,
	},
	{method: "AdminService/DisablePlugin", asks: `{"name":"interceptlog"}`, args: "plugin disable interceptlog", want: `"state":"PLUGIN_STATE_STOPPED"`},
	{method: "AdminService/EnablePlugin", asks: `{"name":"interceptlog"}`, args: "plugin enable interceptlog", want: `"state":"PLUGIN_STATE_READY"`},

	{
		method: "ClientService/ListClients", asks: `{"clientId":"lamp-{way}","version":"5"}`,
		args: "client list lamp-{way} --mqtt 5", want: `"client_id":"lamp-{way}"`,
	},
	{
		method: "ClientService/GetClient", asks: `{"clientId":"lamp-{way}"}`,
		args: "client get lamp-{way}", want: `"client_id":"lamp-{way}".*"packets_received":"2"`,
	},
	{method: "ClientService/RevalidateClient", asks: `{"clientId":"lamp-{way}"}`, args: "client revalidate lamp-{way}", want: `^\{\}$`},
	{method: "ClientService/ResetClientStatistics", asks: `{"clientId":"lamp-{way}"}`, args: "client reset lamp-{way}", want: `^\{\}$`},

	{
		method: "SessionService/ListSessions", asks: `{"clientId":"away-{way}","connected":false}`,
		args: "session list away-{way} --disconnected", want: `"client_id":"away-{way}"`,
	},
	{method: "SessionService/GetSession", asks: `{"clientId":"away-{way}"}`, args: "session get away-{way}", want: `"filter":"a/{way}"`},
	{
		method: "SessionService/UpdateSessionItems", asks: `{"clientId":"away-{way}","set":{"room":"a2l0Y2hlbg==","floor":"Mg=="},"remove":["none"]}`,
		args: "session items away-{way} --set room=kitchen --set floor=2 --remove none", want: `^\{"items":\{"floor":"Mg==","room":"a2l0Y2hlbg=="\}\}$`,
	},
	{
		method: "SessionService/EnqueueMessage", asks: `{"clientId":"away-{way}","message":{"topic":"direct","text":"x","qos":1}}`,
		args: "session send away-{way} direct x -q 1", want: `"queued":true`,
	},

	{
		method: "SubscriptionService/AddSubscriptions", asks: `{"clientId":"away-{way}","subscriptions":[{"filter":"b/{way}","qos":1}]}`,
		args: "subscription add away-{way} b/{way} -q 1", want: `^\{"reason_codes":\[1\]\}$`,
	},
	{
		method: "SubscriptionService/ListSubscriptions", asks: `{"topic":"b/{way}"}`,
		args: "subscription list --topic b/{way}", want: `"client_id":"away-{way}","filter":"b/{way}","qos":1`,
	},

	{
		method: "PublishService/Publish", asks: `{"message":{"topic":"b/{way}","text":"hello","qos":1,"userProperties":[{"key":"k","value":"v"}]},"publisher":"me"}`,
		args: "message publish b/{way} hello -q 1 --property k=v --publisher me", want: `^\{"receivers":1\}$`,
	},
	{
		method: "PublishService/PublishBatch",
		asks:   `{"messages":[{"topic":"b/{way}","text":"one","qos":1}]}` + "\n" + `{"messages":[{"topic":"b/{way}","text":"two","qos":1},{"topic":"nowhere"}]}`,
		args:   "message batch -", input: `{"topic":"b/{way}","text":"one","qos":1}` + "\n\n" + `{"topic":"b/{way}","text":"two","qos":1}` + "\n" + `{"topic":"nowhere"}`,
		want: `^\{"published":"3","receivers":"2"\}$`,
	},

	{
		method: "SubscriptionService/RemoveSubscriptions", asks: `{"clientId":"away-{way}","filters":["b/{way}"]}`,
		args: "subscription remove away-{way} b/{way}", want: `^\{"reason_codes":\[0\]\}$`,
	},
	{method: "SessionService/ClearSessionQueue", asks: `{"clientId":"away-{way}"}`, args: "session clear away-{way}", want: `^\{"dropped":"4"\}$`},
	{method: "SessionService/DeleteSession", asks: `{"clientId":"away-{way}"}`, args: "session delete away-{way}", want: `^\{\}$`},

	{
		method: "RetainedService/PutRetained", asks: `{"message":{"topic":"r/{way}","text":"x"}}`,
		args: "retained put r/{way} x", want: `^\{"revision":"\d+"\}$`,
	},
	{method: "RetainedService/GetRetained", asks: `{"topic":"r/{way}"}`, args: "retained get r/{way}", want: `"topic":"r/{way}","payload":"eA=="`},
	{
		method: "RetainedService/ListRetained", asks: `{"filter":"+/{way}","payloadBytes":9}`,
		args: "retained list +/{way} --payloads", want: `"topic":"r/{way}","payload":"eA=="`,
	},
	{
		method: "RetainedService/ImportRetained", asks: `{"messages":[{"topic":"i/{way}","payload":"eQ=="}]}` + "\n" + `{"messages":[{"topic":"j/{way}","payload":"eQ=="}]}`,
		args: "retained import -", input: `{"topic":"i/{way}","payload":"eQ=="}` + "\n" + `{"topic":"j/{way}","payload":"eQ=="}`,
		want: `^\{"imported":"2"\}$`,
	},
	{
		method: "RetainedService/ExportRetained", asks: `{"filter":"j/{way}"}`,
		args: "retained export j/{way}", want: `"topic":"j/{way}","payload":"eQ=="`,
	},
	{
		method: "RetainedService/Migrate", asks: `{"from":"{from}","to":"{to}"}`,
		args: "retained migrate {from} {to}", want: `"copied":"\d+","total":"\d+","revision":"\d+"`,
	},
	{method: "RetainedService/DeleteRetained", asks: `{"filter":"+/{way}"}`, args: "retained delete +/{way}", want: `^\{"deleted":"3"\}$`},

	{
		method: "SharedDataService/PutSharedData", asks: `{"key":"k-{way}","text":"one","ifVersion":"0"}`,
		args: "shared put k-{way} one --if-version 0", want: `^\{"version":"\d+"\}$`,
	},
	{method: "SharedDataService/GetSharedData", asks: `{"key":"k-{way}"}`, args: "shared get k-{way}", want: `"key":"k-{way}","value":"b25l"`},
	{
		method: "SharedDataService/ListSharedData", asks: `{"prefix":"k-{way}","values":true}`,
		args: "shared list k-{way} --values", want: `"key":"k-{way}","value":"b25l"`,
	},
	{method: "SharedDataService/DeleteSharedData", asks: `{"key":"k-{way}"}`, args: "shared delete k-{way}", want: `^\{\}$`},

	{
		method: "BanService/AddBan", asks: `{"kind":"username","value":"mallory-{way}","durationSeconds":"60"}`,
		args: "ban add user mallory-{way} --for 60s", want: `"kind":"username","value":"mallory-{way}"`,
	},
	{method: "BanService/ListBans", asks: `{"kind":"username"}`, args: "ban list user", want: `"value":"mallory-{way}"`},
	{method: "BanService/RemoveBan", asks: `{"kind":"username","value":"mallory-{way}"}`, args: "ban remove user mallory-{way}", want: `^\{\}$`},

	{
		method: "QuotaService/ListQuotas", asks: `{"pattern":"v/*-{way}"}`,
		args: "quota list v/*-{way}", want: `"account":"v/lamp-{way}".*"month":\{"bytes":"70","messages":"7"`,
	},
	{method: "QuotaService/ResetQuota", asks: `{"account":"v/lamp-{way}"}`, args: "quota reset v/lamp-{way}", want: `^\{\}$`},

	{method: "ListenerService/ListListeners", asks: `{}`, args: "listener list", want: `"configured_url":"tcp://127\.0\.0\.1:0"`},
	{method: "ConfigService/GetConfig", asks: `{}`, args: "config show", want: `"yaml":".*plugin_dir`},
	{method: "ConfigService/CheckConfig", asks: `{}`, args: "config check", want: `^\{\}$`},
	{method: "ConfigService/ReloadConfig", asks: `{}`, args: "config reload", want: `^\{\}$`},
	{
		method: "LogService/SetLogLevel", asks: `{"level":"debug","forSeconds":60}`,
		args: "log level debug --for 60s", want: `"level":"debug","configured":"info"`,
	},
	{method: "LogService/GetLogLevel", asks: `{}`, args: "log level", want: `"level":"debug","configured":"info"`},

	{
		method: "EventService/WatchEvents", asks: `{"clientId":"lamp-{way}","snapshot":true}`,
		args: "client watch lamp-{way} --snapshot --count 2", want: `"kind":"EVENT_KIND_PRESENT".*"client_id":"lamp-{way}"`,
	},
	{
		method: "DebugService/WatchCalls", asks: `{"plugin":"interceptlog","hook":"publish"}`,
		args: "plugin trace interceptlog --hook publish --count 1", busy: true, want: `"plugin":"interceptlog","hook":"publish".*"topic":"busy"`,
	},
	{
		method: "DebugService/Explain", asks: `{"clientId":"lamp-{way}","action":"EXPLAINED_ACTION_PUBLISH","topic":"x"}`,
		args: "explain --client lamp-{way} --topic x", want: `"accepted":true`,
	},
	{
		method: "ShadowService/StartShadow", asks: `{"plugin":"interceptlog","path":"{next}","configJson":"{config}"}`,
		args: "plugin shadow interceptlog {next} --config {config.json} --detach", want: `"plugin":"interceptlog".*"path":"{next}"`,
	},
	{
		method: "ShadowService/FollowShadow", asks: `{"plugin":"interceptlog"}`,
		args: "plugin shadow interceptlog --count 1", busy: true, exit: 1, want: `"plugin":\{"plugin":"interceptlog".*"shadow":\{"plugin":"interceptlog"`,
	},
	{
		method: "ShadowService/GetShadow", asks: `{"plugin":"interceptlog"}`,
		args: "plugin shadow interceptlog --count 1", busy: true, exit: 1, want: `"hooks":\[\{"hook":"publish".*"differ":"\d+"`,
	},
	{
		method: "ShadowService/StopShadow", asks: `{"plugin":"interceptlog"}`,
		args: "plugin shadow interceptlog --stop", exit: 1, want: `"hooks":\[\{"hook":"publish".*"differ":"\d+"`,
	},

	{
		method: "ClientService/DisconnectClient", asks: `{"clientId":"lamp-{way}","reasonCode":152}`,
		args: "client disconnect lamp-{way} --code 152", want: `^\{\}$`,
	},
}

// adminMethods are all methods of the contract, as "Service/Method".
func adminMethods() map[string]protoreflect.MethodDescriptor {
	all := make(map[string]protoreflect.MethodDescriptor)
	protoregistry.GlobalFiles.RangeFilesByPackage("gatehouse.admin.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				all[string(s.Name())+"/"+string(m.Name())] = m
			}
		}
		return true
	})
	return all
}

// No call is left out, in none of the three columns and not in docs/admin.md.
func TestAdminCasesAreComplete(t *testing.T) {
	methods := adminMethods()
	page, err := os.ReadFile("../../docs/admin.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range methods {
		service, method, _ := strings.Cut(name, "/")
		if !regexp.MustCompile("(?m)^\\| `" + service + "` \\|.*`" + method + "`").Match(page) {
			t.Errorf("admin.md does not have %s", name)
		}
	}
	if len(methods) < 49 {
		t.Errorf("only %d methods were found", len(methods))
	}
	for _, tt := range adminCases {
		if methods[tt.method] == nil {
			t.Errorf("there is no method %s, or it has two cases", tt.method)
		}
		delete(methods, tt.method)
		if tt.asks == "" || tt.args == "" || tt.want == "" {
			t.Errorf("the case of %s is not whole", tt.method)
		}
	}
	for _, left := range slices.Sorted(maps.Keys(methods)) {
		t.Errorf("%s has no case", left)
	}
}

// adminWay is one of the ways to make a call: it returns messages of the answer
// as one line of JSON each, with the contract's names, until until has seen
// enough, and how the call failed: a gRPC code in words, or "exit N".
type adminWay func(t *testing.T, tt *adminCase, until func(answer string) bool) (answer, failed string)

// Every call of the admin API in every way against a broker with plugins.
func TestAdminCalls(t *testing.T) {
	s := newSite(t, "retained: {store: memory}\nplugins: {interceptlog: {}}\n", "interceptlog", "retainjson")
	s.link("next/interceptlog")
	rules := `{"rules": [{"match": {"topic": "busy"}, "actions": [{"refuse": {"code": "quota exceeded"}}]}]}`
	s.write("rules.json", rules)
	s.write("data/quotas.json", usedQuotas("v/lamp-grpc", "v/lamp-json", "v/lamp-command"))
	p := s.start()
	b := brokertest.At(t, p.addr)
	from, to := "memory", "retainjson"
	for _, way := range []struct {
		name string
		call adminWay
	}{{"grpc", p.overGRPC(t)}, {"json", p.overHTTP(t)}, {"command", p.asCommand}} {
		words := strings.NewReplacer("{way}", way.name, "{from}", from, "{to}", to, "{next}", s.path("next/interceptlog"),
			"{config.json}", s.path("rules.json"), "{config}", base64.StdEncoding.EncodeToString([]byte(rules)))
		from, to = to, from
		b.Connect("lamp-"+way.name).Subscribe(1, "lamps/#")
		away := b.Connect("away-"+way.name, brokertest.Resume)
		away.Subscribe(1, "a/"+way.name)
		away.Disconnect()
		for _, tt := range adminCases {
			t.Run(way.name+"/"+tt.method, func(t *testing.T) {
				tt.asks, tt.args, tt.input = words.Replace(tt.asks), words.Replace(tt.args), words.Replace(tt.input)
				want := regexp.MustCompile(words.Replace(tt.want))
				if tt.busy {
					defer p.publishing(t, "busy", "x")()
				}
				got, failed := way.call(t, &tt, want.MatchString)
				if failed != "" || !want.MatchString(got) {
					t.Errorf("%s\n%s", failed, got)
				}
			})
		}
	}
}

// usedQuotas is the file of a ledger in which accounts have used something. They have
// it tomorrow, which counts as today: the day may end while a test runs.
func usedQuotas(accounts ...string) string {
	at := time.Now().UTC().AddDate(0, 0, 1)
	entries := make([]string, len(accounts))
	for i, name := range accounts {
		entries[i] = fmt.Sprintf(`{"account": %q, "zone": "UTC", "day": {"is": %q}, "month": {"is": %q, "bytes": 70, "messages": 7}}`,
			name, at.Format("2006-01-02"), at.Format("2006-01"))
	}
	return `{"version": 1, "accounts": [` + strings.Join(entries, ",") + `]}`
}

// publishing has a client publish until the returned function is called.
func (p *proc) publishing(t *testing.T, topic, payload string) (stop func()) {
	t.Helper()
	c := p.connect5("busy-" + strings.ReplaceAll(t.Name(), "/", "-"))
	ends, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ends:
				return
			default:
				c.publishQuietly(topic, payload)
			}
		}
	}()
	return func() {
		close(ends)
		<-done
	}
}

// asCommand makes a call with a command.
func (p *proc) asCommand(t *testing.T, tt *adminCase, _ func(string) bool) (answer, failed string) {
	t.Helper()
	c := p.typeIn(tt.input, append(strings.Fields(tt.args), "--json")...)
	if exit := c.wait(); exit != tt.exit {
		return "", "the exit status is " + string(rune('0'+exit)) + ": " + c.err.String()
	}
	var out bytes.Buffer
	for d := json.NewDecoder(strings.NewReader(c.out.String())); d.More(); {
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			t.Fatalf("%v in %q", err, c.out.String())
		}
		if err := json.Compact(&out, one); err != nil {
			t.Fatal(err)
		}
	}
	return out.String(), ""
}
