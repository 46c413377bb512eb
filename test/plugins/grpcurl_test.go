package plugins

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// authfile is a broker whose clients authfile lets in.
func authfile(t *testing.T, config string) *site {
	t.Helper()
	b := program.Gatehouse(t, program.Options{
		Plugins: []string{"authfile"}, Files: map[string]string{"users.yaml": alice(t)},
		Config: "plugins:\n  authfile:\n    config: {file: users.yaml}\n" + config,
	})
	return &site{T: t, b: b, plugin: "authfile"}
}

// alice is a file of users with alice, whose password is "secret".
func alice(t *testing.T) string {
	t.Helper()
	hash := program.Run(t, "", strings.NewReader("secret\n"), program.Ours(t, "./cmd/broker"), "password")
	return "users:\n  - name: alice\n    password: '" + strings.TrimSpace(string(hash)) + "'\n    allow: {both: '#'}\n"
}

// The line that "plugin list -v" prints is right: grpcurl finds out by reflection
// what a live plugin serves, and calls it, while clients use it.
func TestGrpcurl(t *testing.T) {
	t.Parallel()
	s := authfile(t, "")
	grpcurl := program.Tool(t, "grpcurl")
	list := string(s.broker("plugin", "list", "-v"))
	_, rest, found := strings.Cut(list, "grpcurl ")
	line, _, _ := strings.Cut(rest, "\n")
	args := strings.Fields(line)
	if !found || len(args) != 4 || args[3] != "list" {
		t.Fatalf("plugin list -v has no line for grpcurl:\n%s", list)
	}
	connection := args[:3]
	if !filepath.IsAbs(connection[2]) {
		t.Fatalf("the path in %q depends on the folder", line)
	}
	says := func(args ...string) string {
		t.Helper()
		return string(program.Run(t, "", nil, grpcurl, args...))
	}
	services := says(append(connection, "list")...)
	for _, want := range []string{
		"gatehouse.plugin.v1.PluginService\n", "gatehouse.plugin.v1.ConnectionValidatorService\n", "grpc.health.v1.Health\n", "grpc.reflection.v1.ServerReflection\n",
	} {
		if !strings.Contains(services, want) {
			t.Errorf("list has no %s in\n%s", want, services)
		}
	}
	const method = "gatehouse.plugin.v1.ConnectionValidatorService"
	if got := says(append(connection, "describe", method)...); !strings.Contains(got, "rpc Validate ( .gatehouse.plugin.v1.ValidateRequest ) returns ( .gatehouse.plugin.v1.ValidateResponse );") {
		t.Errorf("describe says\n%s", got)
	}
	for password, want := range map[string]string{"c2VjcmV0": "DECISION_VERDICT_ALLOW", "d3Jvbmc=": "DECISION_VERDICT_DENY"} {
		request := `{"connect": {"client_id": "me", "username": "alice", "password": "` + password + `", "protocol_level": 5}}`
		args := append([]string{"-d", request}, connection...)
		var got struct {
			Decision struct{ Verdict string }
		}
		text := says(append(args, method+"/Validate")...)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.Decision.Verdict != want {
			t.Errorf("Validate with the password %s answers %s (%v), not %s", password, text, err, want)
		}
	}
	s.expect("", true, "mosquitto_pub", "-u", "alice", "-P", "secret", "-q", "1", "-t", "a", "-m", "1")
	s.expect("Bad User Name or Password", false, "mosquitto_pub", "-u", "alice", "-P", "wrong", "-q", "1", "-t", "a", "-m", "1")
}
