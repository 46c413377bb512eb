package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// What plugins-any-language.md quotes is what the broker does. The helpers for
// Python and Node, which were written by it, are run in test/plugins.
func TestContractPage(t *testing.T) {
	text := page(t, "plugins-any-language.md")
	has := func(format string, args ...any) {
		t.Helper()
		if want := fmt.Sprintf(format, args...); !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	has("`%s=%s`", pluginapi.Handshake.MagicCookieKey, pluginapi.Handshake.MagicCookieValue)
	has("`PLUGIN_PROTOCOL_VERSIONS=%d`", pluginapi.Handshake.ProtocolVersion)
	has("`%s=3`", pluginapi.EnvLifeline)
	has("with the service `%s`", pluginapi.HealthService)
	has("up to %d MiB", pluginapi.MaxMessageSize>>20)
	has("windows of %d MiB", pluginapi.WindowSize>>20)
	serving, err := proto.Marshal(&grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING})
	if err != nil {
		t.Fatal(err)
	}
	has("The bytes of the answer are `% x`", serving)
	host := source(t, "core/pluginhost/hostservice.go") + source(t, "core/pluginhost/hostscope.go")
	if !strings.Contains(host, `"gatehouse-token"`) {
		t.Error("the host service knows no gatehouse-token")
	}
	has("metadata `gatehouse-token`")
}

// The times in it are those of the supervisor.
func TestContractTimes(t *testing.T) {
	text := strings.Join(strings.Fields(page(t, "plugins-any-language.md")), " ")
	timing := source(t, "core/pluginhost/timing.go")
	for field, c := range map[string]struct{ value, says string }{
		"healthEvery": {"5 * time.Second", "`CheckHealth` every 5 s"},
		"healthLimit": {"2 * time.Second", "answered within 2 s"},
		"healthMiss":  {"3", "three that are missed in a row"},
		"drain":       {"2 * time.Second", "`Drain`, within 2 s"},
		"stop":        {"5 * time.Second", "`Stop`, within 5 s"},
		"leave":       {"time.Second", "exit within 1 s"},
	} {
		set := regexp.MustCompile(`(?m)^\t` + field + `:\s+(.*),$`).FindStringSubmatch(timing)
		if set == nil || set[1] != c.value {
			t.Errorf("%s is %v, the page was written for %s", field, set, c.value)
		}
		if !strings.Contains(text, c.says) {
			t.Errorf("the page does not say %q", c.says)
		}
	}
}

func source(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The handshake is one that the broker reads, and the attach file too.
func TestContractExamples(t *testing.T) {
	text := page(t, "plugins-any-language.md")
	pattern := regexp.MustCompile("regexp.MustCompile\\(`(.*)`\\)").FindStringSubmatch(source(t, "core/pluginhost/handshake.go"))
	if pattern == nil {
		t.Fatal("handshake.go has no pattern")
	}
	_, line, _ := strings.Cut(text, "```\n1|")
	line, _, _ = strings.Cut("1|"+line, "\n")
	if m := regexp.MustCompile(pattern[1]).FindStringSubmatch(line); m == nil || m[5] != "grpc" || m[1] != "1" || m[2] != "1" {
		t.Errorf("%q is no handshake: %q", line, m)
	}
	objects := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(objects) != 2 {
		t.Fatalf("%d objects", len(objects))
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(objects[0][1]), &record); err != nil || record["@message"] != "opened" {
		t.Errorf("log record: %v %v", record, err)
	}
	var attach pluginapi.Attach
	if err := json.Unmarshal([]byte(objects[1][1]), &attach); err != nil || attach.Schema != 1 || attach.PID == 0 || attach.Started.IsZero() {
		t.Errorf("attach file: %+v %v", attach, err)
	}
}

// The table of services has all of the contract but PluginService and the
// broker's own, with all their calls.
func TestContractServices(t *testing.T) {
	text := page(t, "plugins-any-language.md")
	for _, f := range []struct{ file, service string }{
		{"validator", "ConnectionValidatorService"},
		{"interceptor", "MessageInterceptorService"},
		{"observer", "ObserverService"},
		{"store", "RetainedStoreService"},
	} {
		row := regexp.MustCompile("(?m)^\\| `" + f.service + "` \\|.*$").FindString(text)
		for _, m := range regexp.MustCompile(`(?m)^  rpc (\w+)\(`).FindAllStringSubmatch(source(t, "proto/gatehouse/plugin/v1/"+f.file+".proto"), -1) {
			if !strings.Contains(row, "`"+m[1]+"`") {
				t.Errorf("%s.%s is not in the table", f.service, m[1])
			}
		}
	}
	for _, name := range []string{"PluginService", "Describe", "Init", "ValidateConfig", "Reconfigure", "CheckHealth", "Drain", "Stop"} {
		if !strings.Contains(text, name) {
			t.Errorf("the page does not speak of %s", name)
		}
	}
	fields := (&pluginv1.Capabilities{}).ProtoReflect().Descriptor().Fields()
	for _, name := range []string{"intercept_stream", "observe_stream", "reconfigure", "enhanced_authentication"} {
		if fields.ByTextName(name) == nil || !strings.Contains(text, "`"+name+"`") {
			t.Errorf("capability %s", name)
		}
	}
}
