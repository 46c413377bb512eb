package bucket

import (
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestConfig(t *testing.T) {
	if err := checkConfig(t.Context(), pluginapi.NewSetup([]byte(`{"urls":["nats://a:1","wss://b"],"replicas":3,"remember_deletions":"0s"}`))); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	for text, want := range map[string]string{
		`{"url":"nats://a"}`: "/url",
		`{"urls":[]}`:        "/urls: name at least one",
		`{"urls":["nats://a:1","http://user:secret@b"]}`:      `/urls/1: has the scheme "http"`,
		`{"urls":["nats://a b"]}`:                             "/urls/0: is not a URL",
		`{"bucket":"a.b"}`:                                    "/bucket",
		`{"bucket":""}`:                                       "/bucket",
		`{"replicas":0}`:                                      "/replicas",
		`{"replicas":6}`:                                      "/replicas",
		`{"storage":"disk"}`:                                  "/storage",
		`{"max_bytes":-1}`:                                    "/max_bytes",
		`{"max_message_bytes":100}`:                           "/max_message_bytes",
		`{"remember_deletions":"1s"}`:                         "/remember_deletions",
		`{"timeout":"1ms"}`:                                   "/timeout",
		`{"credentials":"testdata/none.creds"}`:               "/credentials",
		`{"tls":{"ca":"testdata/none.pem"}}`:                  "/tls/ca",
		`{"tls":{"ca":"config_test.go"}}`:                     "holds no certificate",
		`{"tls":{"cert":"config_test.go"}}`:                   "/tls/key: is missing",
		`{"tls":{"key":"config_test.go"}}`:                    "/tls/cert: is missing",
		`{"tls":{"cert":"config_test.go","key":"config.go"}}`: "/tls/cert",
	} {
		err := checkConfig(t.Context(), pluginapi.NewSetup([]byte(text)))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
