//go:build unix

package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/dynamicpb"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Somebody calls a live plugin by hand.
func TestPluginCall(t *testing.T) {
	s := newSite(t, twoPlugins, "authfile", "interceptlog")
	s.alice()
	p := s.start()

	request := `{"connect": {"client_id": "c", "username": "alice", "password": "c2VjcmV0", "protocol_level": 5}}`
	out := s.does("plugin", "call", "authfile", "ConnectionValidator/Validate", request)
	if !strings.Contains(out, "DECISION_VERDICT_ALLOW") || !strings.Contains(out, `"filter": "stamp/#"`) {
		t.Errorf("printed %s", out)
	}
	// As much of the name as is unique, and the request from elsewhere.
	c := s.typeIn(strings.Replace(request, "c2VjcmV0", "d3Jvbmc=", 1), "plugin", "call", "authfile", "validate", "-")
	if c.wait() != 0 || !strings.Contains(c.out.String(), "DECISION_VERDICT_DENY") {
		t.Errorf("exit status %d: %s%s", c.exit, &c.out, &c.err)
	}
	s.write("request.json", `{"calls": [{"seq": 1, "publish": {"message": {"topic": "stamp/x", "payload": "e30=", "payload_size": 2, "origin": "ORIGIN_CLIENT"}}}]}`)
	out = s.does("plugin", "call", "interceptlog", "gatehouse.plugin.v1.MessageInterceptorService/Intercept", "@"+s.path("request.json"))
	if !strings.Contains(out, "VERDICT_ACTION_PASS") || !strings.Contains(out, `"payload"`) {
		t.Errorf("printed %s", out)
	}
	// A stream: the plugin answers each of two requests.
	c = s.typeIn(`{"events": [{"kind": "EVENT_KIND_CONNECTED"}]} {"events": []}`, "plugin", "call", "interceptlog", "ObserveStream", "-")
	if c.wait() != 0 || !strings.Contains(c.out.String(), `"2"`) {
		t.Errorf("exit status %d: %s%s", c.exit, &c.out, &c.err)
	}
	for want, args := range map[string][]string{
		`did you mean ConnectionValidatorService/Validate?`: {"authfile", "Valdiate"},
		`it has `:                               {"authfile", "Quack"},
		`PluginService/`:                        {"authfile", "x"},
		`the request is not a gatehouse.plugin`: {"authfile", "Validate", `{"conect": {}}`},
		`the request is not JSON`:               {"authfile", "Validate", `{`},
		`Validate takes one request`:            {"authfile", "Validate", `{} {}`},
		`there is no plugin "nobody"`:           {"nobody", "Validate"},
		`no such file`:                          {"authfile", "Validate", "@" + s.path("nothing")},
	} {
		if got := s.refusesTo(append([]string{"plugin", "call"}, args...)...); !strings.Contains(got, want) {
			t.Errorf("%q said %q, and not %q", args, got, want)
		}
	}

	if out = s.does("plugin", "describe", "authfile"); !strings.Contains(out, "Validate(ValidateRequest) returns (ValidateResponse)") {
		t.Errorf("printed %s", out)
	}
	out = s.does("plugin", "describe", "authfile", "Validate")
	for _, want := range []string{"password: bytes, in base64", "user_properties: list of UserProperty", "DECISION_VERDICT_DENY", "items: map of string to bytes"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in %s", want, out)
		}
	}
	if got := s.refusesTo("plugin", "call", "authfile", "Validate", "--timeout", "1ns"); !strings.Contains(got, "deadline") {
		t.Errorf("said %q", got)
	}
	// The line for grpcurl leads to a socket that answers as grpcurl asks.
	line := regexp.MustCompile(`grpcurl -plaintext -unix (\S*authfile\.sock) list`).FindStringSubmatch(s.does("plugin", "list", "-v"))
	if line == nil {
		t.Fatal("plugin list -v has no line for grpcurl")
	}
	conn, err := grpc.NewClient("unix:"+line[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	services, err := reflected(t.Context(), conn)
	if err != nil || len(services) < 2 {
		t.Errorf("%d services, %v", len(services), err)
	}
	p.stop()
}

// A plugin without reflection is called by what the contract says.
func TestCallWithoutReflection(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pluginv1.RegisterObserverServiceServer(server, pluginv1.UnimplementedObserverServiceServer{})
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	services, err := servicesOf(t.Context(), conn)
	if err != nil || len(services) != len(builtIn) {
		t.Fatalf("%v, %v", services, err)
	}
	m, err := findMethod(services, "observer/observe")
	if err != nil || m.Name() != "Observe" {
		t.Errorf("%v, %v", m, err)
	}
	requests := []*dynamicpb.Message{dynamicpb.NewMessage(m.Input())}
	err = call(t.Context(), &terminal{out: io.Discard}, conn, m, requests)
	if err == nil || !strings.Contains(err.Error(), "Observe failed with status Unimplemented") {
		t.Error(err)
	}
}
