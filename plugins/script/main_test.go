package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	"github.com/gatehouse-mqtt/gatehouse/plugins/script/hooks"
)

func TestMain(m *testing.M) {
	// Under the race detector a process needs more memory than any limit.
	plugintest.RunMain(m, map[string]pluginapi.Plugin{"script": hooks.Plugin(nil), "script-confined": hooks.Plugin(hooks.Confine)})
}

// folder writes scripts: names and texts.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(files); i += 2 {
		save(t, dir, files[i], files[i+1])
	}
	return dir
}

func save(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func in(dir string) plugintest.Option {
	return plugintest.Config(map[string]any{"folder": dir, "limits": map[string]any{"time": "10s", "connect_time": "10s"}})
}

// TestConformance runs the program, with scripts and without, against everything
// that its hooks have to do.
func TestConformance(t *testing.T) {
	path := plugintest.Install(t, t.TempDir(), "script")
	t.Run("no scripts", func(t *testing.T) { plugintest.Check(t, path) })
	t.Run("scripts", func(t *testing.T) {
		dir := folder(t)
		for _, name := range []string{"stamp.star", "rewrite.star", "units.star", "deny.star", "validate.star"} {
			text, err := os.ReadFile(filepath.Join("..", "..", "examples", "scripts", name))
			if err != nil {
				t.Fatal(err)
			}
			save(t, dir, name, string(text))
		}
		plugintest.Check(t, path, in(dir))
	})
}

// Without scripts the plugin asks for nothing: it neither lets anybody in nor
// keeps anybody out.
func TestNoScripts(t *testing.T) {
	for _, o := range []plugintest.Option{plugintest.Config(nil), in(t.TempDir())} {
		p := plugintest.Start(t, hooks.Plugin(nil), o)
		if h := p.Hooks(); len(h) != 0 {
			t.Errorf("it asks for %v", h)
		}
		if err := p.Health(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

const rules = `
def on_validate_client_connection(context):
    if context["username"] == "anna" and context["password"] == "secret":
        context["result"] = "success"
        context["session_items"]["level"] = 3
        context["grants"] = [allow("home/%u/#"), deny("home/%u/locks", "publish")]
    else:
        context["result"] = "bad_user_name_or_password"
        context["reason_string"] = "who are you?"

def on_intercept_application_message(context):
    if context["topic"] == "admin/foo/bar" and context["client_id"] != "theAdmin":
        context["accept_publish"] = False
        return
    context["payload"] = json.encode({"v": json.decode(context["payload_text"]), "level": context["session_items"]["level"]})

def on_intercept_subscription(context):
    if context["topic"] == "the/secret/stuff":
        context["accept_subscription"] = False
        context["close_connection"] = True

def on_client_connected(context):
    publish(topic = "presence/" + context["client_id"], payload = "here", retain = True)
`

// hooksOf is the plugin, inside of the test or as a process.
type hooksOf interface {
	pluginapi.Validator
	pluginapi.PublishInterceptor
	pluginapi.SubscribeInterceptor
	pluginapi.Observer
}

func TestHooks(t *testing.T) {
	dir := folder(t, "rules.star", rules)
	host, host2 := plugintest.NewHost(t), plugintest.NewHost(t)
	inside := plugintest.Start(t, hooks.Plugin(nil), in(dir), plugintest.WithHost(host))
	want := []pluginapi.Hook{pluginapi.HookConnect, pluginapi.HookPublish, pluginapi.HookSubscribe, pluginapi.HookEvent}
	if diff := cmp.Diff(want, inside.Hooks()); diff != "" {
		t.Error(diff)
	}
	process := plugintest.Launch(t, plugintest.Install(t, t.TempDir(), "script"), in(dir), plugintest.WithHost(host2))
	t.Run("inside", func(t *testing.T) { use(t, inside, host) })
	t.Run("process", func(t *testing.T) { use(t, process, host2) })
}

func use(t *testing.T, p hooksOf, host *plugintest.Host) {
	d, err := p.ValidateConnection(t.Context(), plugintest.Connect("c", plugintest.Credentials("anna", "secret")))
	if err != nil || d.Word != pluginapi.Allow || len(d.Grants) != 2 || !d.Grants[1].Deny {
		t.Fatalf("%+v, %v", d, err)
	}
	no, err := p.ValidateConnection(t.Context(), plugintest.Connect("c", plugintest.Credentials("anna", "Secret")))
	if err != nil || no.Word != pluginapi.Deny || no.Code != pluginapi.BadUserNameOrPassword || no.Reason != "who are you?" {
		t.Errorf("%+v, %v", no, err)
	}
	client := plugintest.Client("c", func(c *pluginapi.Client) { c.Items = d.Items })
	m := plugintest.Message("home/a", "21.5")
	if v, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Client: client, Message: m}); err != nil || v.Action != pluginapi.ActionPass {
		t.Errorf("%+v, %v", v, err)
	}
	if got := string(m.Payload); got != `{"level":3,"v":21.5}` {
		t.Errorf("payload %s", got)
	}
	v, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Client: client, Message: plugintest.Message("admin/foo/bar", "1")})
	if err != nil || v.Action != pluginapi.ActionRefuse || v.Code != pluginapi.NotAuthorized {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Client: client, Message: plugintest.Message("home/a", "no JSON")}); err == nil ||
		!strings.Contains(err.Error(), "rules.star:15:") {
		t.Errorf("%v", err)
	}
	v, err = p.InterceptSubscribe(t.Context(), &pluginapi.SubscribeCall{Client: client, Subscription: pluginapi.Subscription{Filter: "the/secret/stuff"}})
	if err != nil || v.Action != pluginapi.ActionDisconnect {
		t.Errorf("%+v, %v", v, err)
	}
	if err := p.Observe(t.Context(), []pluginapi.Event{{Kind: pluginapi.EventConnected, ClientID: "c", Client: client}}, 0); err != nil {
		t.Error(err)
	}
	if got := host.Published(); len(got) != 1 || got[0].Topic != "presence/c" || !got[0].Retain {
		t.Errorf("published %+v", got)
	}
}

const version = `
def initialize():
    publish(topic = "life", payload = "initialize V")

def destroy():
    publish(topic = "life", payload = "destroy V")

def on_intercept_application_message(context):
    context["payload"] = "V"
`

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

// What is saved is taken over, with destroy and initialize in order; what is
// broken is not, and the plugin says where.
func TestReload(t *testing.T) {
	dir := folder(t, "a.star", strings.ReplaceAll(version, "V", "1"))
	host := plugintest.NewHost(t)
	p := plugintest.Start(t, hooks.Plugin(nil), in(dir), plugintest.WithHost(host))
	decided := func() string {
		m := plugintest.Message("t", "")
		if _, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Client: plugintest.Client("c"), Message: m}); err != nil {
			return err.Error()
		}
		return string(m.Payload)
	}
	if got := decided(); got != "1" {
		t.Fatalf("decided by %q", got)
	}
	save(t, dir, "a.star", strings.ReplaceAll(version, "V", "2"))
	until(t, "version 2", func() bool { return decided() == "2" })

	for _, broken := range []struct{ text, want string }{
		{"def on_intercept_application_message(context):\n    contxt = 1 +\n", "a.star:2:"},
		{"def on_intercept_application_message(context):\n    undefined()\n", "a.star:2:5: undefined: undefined"},
		{"fail('at the top')\n", "a.star:1:5: fail: at the top"},
		{"publish(topic = 'a')\n", "call it in initialize()"},
		{"def on_intercept_application_message():\n    pass\n", "has 0 parameters"},
		{"def initialize():\n    fail('not today')\n", "not today"},
	} {
		save(t, dir, "a.star", broken.text)
		until(t, "complaint about "+broken.text, func() bool {
			err := p.Health(t.Context())
			return err != nil && pluginapi.IsDegraded(err) && strings.Contains(err.Error(), broken.want)
		})
		if got := decided(); got != "2" {
			t.Errorf("%q decided after %q", got, broken.text)
		}
	}
	if got := host.Interest(); len(got) != 1 || got[0] != pluginapi.HookPublish {
		t.Errorf("after broken scripts it asks for %v", got)
	}
	save(t, dir, "a.star", strings.ReplaceAll(version, "V", "3"))
	until(t, "version 3", func() bool { return decided() == "3" })
	if err := p.Health(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	var life []string
	for _, m := range host.Published() {
		life = append(life, string(m.Payload))
	}
	want := []string{"initialize 1", "destroy 1", "initialize 2", "destroy 2", "initialize 2", "destroy 2", "initialize 3", "destroy 3"}
	if diff := cmp.Diff(want, life); diff != "" {
		t.Error(diff)
	}
}

// A file that is gone for a moment does not open the broker.
func TestValidatorStays(t *testing.T) {
	dir := folder(t, "a.star", "def on_validate_client_connection(context):\n    context['result'] = 'not_authorized'\n")
	p := plugintest.Start(t, hooks.Plugin(nil), in(dir))
	if err := os.Remove(filepath.Join(dir, "a.star")); err != nil {
		t.Fatal(err)
	}
	until(t, "complaint", func() bool { return p.Health(t.Context()) != nil })
	if err := p.Health(t.Context()); !strings.Contains(err.Error(), "broker plugin reload script") {
		t.Error(err)
	}
	if d, err := p.ValidateConnection(t.Context(), plugintest.Connect("c")); err != nil || d.Word != pluginapi.Deny {
		t.Errorf("%+v, %v", d, err)
	}
}

// Scripts that are broken from the start are a configuration that is refused.
func TestBrokenFromTheStart(t *testing.T) {
	dir := folder(t, "a.star", "def f(:\n", "b.star", "x = y\n")
	p := plugintest.Start(t, hooks.Plugin(nil), plugintest.NoInit())
	for _, err := range []error{
		p.Init(t.Context(), map[string]any{"folder": dir}),
		p.ValidateConfig(t.Context(), map[string]any{"folder": dir}),
	} {
		if err == nil || !strings.Contains(err.Error(), "a.star:1:8") || !strings.Contains(err.Error(), "b.star:1:5") {
			t.Errorf("%v", err)
		}
	}
	if err := p.Init(t.Context(), map[string]any{"folder": filepath.Join(dir, "none")}); err == nil || !strings.Contains(err.Error(), "/folder") {
		t.Errorf("%v", err)
	}
}

// A failure is told with its place and the way there, in the log and in the
// plugin's health.
func TestFailuresAreTold(t *testing.T) {
	dir := folder(t, "a.star", "def deep(x):\n    return x[\"nothing\"]\n\ndef on_intercept_application_message(context):\n    deep({})\n")
	p := plugintest.Launch(t, plugintest.Install(t, t.TempDir(), "script"), in(dir))
	_, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Client: plugintest.Client("c"), Message: plugintest.Message("t", "")})
	if err == nil || !strings.Contains(err.Error(), `a.star:2:13: in on_intercept_application_message: key "nothing" not in dict`) {
		t.Errorf("%v", err)
	}
	line, err := p.Logged("script failed", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if trace, _ := line["traceback"].(string); line["place"] != "a.star:2:13" || !strings.Contains(trace, "a.star:5:9: in on_intercept_application_message") {
		t.Errorf("%v", line)
	}
	if err := p.Health(t.Context()); !pluginapi.IsDegraded(err) || !strings.Contains(err.Error(), "1 of 1 calls failed") {
		t.Errorf("%v", err)
	}
	text, err := p.Metrics(t.Context())
	if err != nil || !strings.Contains(string(text), "script_failures_total 1\n") {
		t.Errorf("%s, %v", text, err)
	}
}

// Timers run, one call after the other, and end with their scripts.
func TestTimers(t *testing.T) {
	dir := folder(t, "a.star", "def beat():\n    publish(topic = \"beat\", payload = \"1\")\n\nevery(\"100ms\", beat)\n")
	host := plugintest.NewHost(t)
	p := plugintest.Start(t, hooks.Plugin(nil), in(dir), plugintest.WithHost(host))
	until(t, "two beats", func() bool { return len(host.Published()) >= 2 })
	if h := p.Hooks(); len(h) != 0 {
		t.Errorf("it asks for %v", h)
	}
	save(t, dir, "a.star", "")
	until(t, "end of the beats", func() bool {
		n := len(host.Published())
		time.Sleep(300 * time.Millisecond)
		return len(host.Published()) == n
	})
}

func TestManifest(t *testing.T) {
	m, err := plugintest.Start(t, hooks.Plugin(nil)).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "script" || m.Exclusive || len(m.Services) != 3 || !strings.Contains(string(m.ConfigSchema), "connect_time") {
		t.Errorf("%+v", m)
	}
}
