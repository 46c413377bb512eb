package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// stamper is an interceptor that writes its version into every message, and at
// its end how many it has decided. Its version is that of the manifest beside
// its program. Major versions that are odd mark the content type too, so that
// versions differ in what they may change. The summary in its manifest may say
// what is wrong with it: "refuses to start", and "crashes at N", "panics at N" or
// "is illegal at N" of the Nth message.
type stamper struct {
	vice    string
	viceAt  int64
	version string
	odd     bool
	dir     string
	decided atomic.Int64
}

func (s *stamper) InterceptPublish(_ context.Context, call *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	if n := s.decided.Add(1); n == s.viceAt {
		switch s.vice {
		case "crashes":
			os.Exit(3)
		case "panics":
			panic("no ink is left")
		}
		return pluginapi.Refuse(0x8f, "a topic filter is not valid"), nil // no answer to a message
	}
	call.Message.UserProperties = append(call.Message.UserProperties, pluginapi.UserProperty{Key: "decided-by", Value: s.version})
	if s.odd {
		call.Message.ContentType = "odd"
	}
	return pluginapi.Pass(), nil
}

func (s *stamper) Interest() []pluginapi.Interest {
	in := pluginapi.Interest{Hook: pluginapi.HookPublish, MayChange: []pluginapi.Field{pluginapi.FieldUserProperties}}
	if s.odd {
		in.MayChange = append(in.MayChange, pluginapi.FieldContentType)
	}
	return []pluginapi.Interest{in}
}

// Stop leaves the count behind.
func (s *stamper) Stop(context.Context) error {
	name := filepath.Join(s.dir, fmt.Sprintf("decided-%d", os.Getpid()))
	return os.WriteFile(name, []byte(fmt.Sprint(s.decided.Load())), 0o600)
}

func stamperMain() {
	var m pluginapi.Manifest
	exe, err := os.Executable()
	if err == nil {
		var text []byte
		if text, err = os.ReadFile(filepath.Join(filepath.Dir(exe), "plugin.json")); err == nil {
			err = json.Unmarshal(text, &m)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	serve(pluginapi.Plugin{Name: "stamper", Version: m.Version, Hooks: (*stamper)(nil), Idempotent: true, New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
		if m.Summary == "refuses to start" {
			return nil, errors.New("there is no ink")
		}
		var major int
		_, err := fmt.Sscanf(m.Version, "%d.", &major)
		st := &stamper{version: m.Version, odd: major%2 == 1, dir: s.DataDir}
		if vice, at, ok := strings.Cut(m.Summary, " at "); ok {
			st.vice = vice
			st.viceAt, err = strconv.ParseInt(at, 10, 64)
		}
		return st, err
	}})
}

// stamper puts a version of the plugin in place, in one step.
func (s *site) stamper(version, summary string) {
	s.t.Helper()
	s.link("plugins/stamper/stamper")
	text, err := json.Marshal(&pluginapi.Manifest{
		Schema: pluginapi.ManifestSchema, Name: "stamper", Version: version, Summary: summary,
		API: []string{pluginapi.APIPackage}, Services: []string{"gatehouse.plugin.v1.MessageInterceptorService"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("plugin.json.new", string(text))
	if err := os.Rename(s.path("plugin.json.new"), s.path("plugins/stamper/plugin.json")); err != nil {
		s.t.Fatal(err)
	}
}

// decided is how many messages all versions that have ended decided together.
func (s *site) decided() (sum int) {
	s.t.Helper()
	files, err := filepath.Glob(s.path("data/plugins/stamper/decided-*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscan(string(text), &n); err != nil {
			s.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// reload replaces a plugin by its files as they are.
func (p *proc) reload(name string) error {
	p.t.Helper()
	f := adminFlags{RunDir: p.path("run")}
	client, err := f.client()
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	_, err = client.ReloadPlugin(ctx, connect.NewRequest(&adminv1.ReloadPluginRequest{Name: name}))
	return err
}
