package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// What only reads is known by its name. Whoever adds a call has to think about
// it here.
func TestMutates(t *testing.T) {
	var reads []string
	protoregistry.GlobalFiles.RangeFilesByPackage("gatehouse.admin.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				if !mutates("/" + string(s.FullName()) + "/" + string(m.Name())) {
					reads = append(reads, string(m.Name()))
				}
			}
		}
		return true
	})
	for _, name := range []string{"GetStatus", "ListPlugins", "WatchCalls", "Explain", "CheckConfig", "ExportRetained", "GetLogLevel"} {
		if !slices.Contains(reads, name) {
			t.Errorf("%s only reads", name)
		}
	}
	for _, name := range []string{
		"DisconnectClient", "ReloadPlugin", "EnablePlugin", "Publish", "PublishBatch", "Migrate", "DeleteRetained", "ImportRetained",
		"ReloadConfig", "SetLogLevel", "RevalidateClient", "ResetClientStatistics", "UpdateSessionItems", "ClearSessionQueue",
	} {
		if slices.Contains(reads, name) {
			t.Errorf("%s changes something", name)
		}
	}
	for procedure, want := range map[string]bool{"/s/Getaway": true, "/s/Get": false, "/s/": true, "": true, "/s/GetX": false} {
		if mutates(procedure) != want {
			t.Errorf("%q: %v", procedure, !want)
		}
	}
}

// A summary has neither payloads nor secrets in it, and an end.
func TestSummary(t *testing.T) {
	secretive := &adminv1.PublishRequest{Message: &adminv1.Message{Topic: "a/\"b", Payload: []byte("hidden"), Qos: 1}}
	if got, want := Summary(secretive), `{"message":{"topic":"a/\"b","payload":"6 bytes","qos":1}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	many := &adminv1.RemoveSubscriptionsRequest{ClientId: "c"}
	for range 20 {
		many.Filters = append(many.Filters, strings.Repeat("é", 200))
	}
	long := strings.Repeat("é", 128) + "..."
	want := `{"clientId":"c","filters":[` + strings.Repeat(`"`+long+`",`, 8) + `"12 more"]}`
	if diff := cmp.Diff(want, Summary(many)); diff != "" {
		t.Error(diff)
	}
	if Summary("no message") != "" {
		t.Error("what is no message has a summary")
	}
}
