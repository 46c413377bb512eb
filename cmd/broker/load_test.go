package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
)

func TestParseConfig(t *testing.T) {
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig("full.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Listeners) != 2 || cfg.Listeners[1].Name != "local" || cfg.Limits.PacketSize != 256<<10 {
		t.Errorf("got %+v", cfg)
	}
	p := cfg.Plugins["interceptlog"]
	if p.Order != 20 || p.Required == nil || *p.Required || p.Interceptor.policy().OnError != hook.OnErrorPass {
		t.Errorf("got %+v", p)
	}
	if time.Duration(p.Interceptor.Timeout) != 100*time.Millisecond {
		t.Errorf("timeout %v", time.Duration(p.Interceptor.Timeout))
	}
	if all, err := cfg.pluginConfigs(); err != nil || !slices.ContainsFunc(all, func(c pluginhost.Config) bool {
		return c.Name == "interceptlog" && c.Probation < 0
	}) {
		t.Errorf("got %+v, %v", all, err)
	}
	s := &server{cfg: cfg}
	o := s.brokerOptions(s.cfg)
	if o.Limits.KeepAlive != 120 || !o.Limits.LimitQoS || o.Limits.MaxQoS != 1 || o.SysInterval != -1 {
		t.Errorf("got %+v", o)
	}
}

// Every mistake is named with file, line, column and a caret under it, as in
// the .err file beside it.
func TestBadConfig(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(path, ".yaml") + ".err")
			if err != nil {
				t.Fatal(err)
			}
			_, err = parseConfig("gatehouse.yaml", text)
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error() + "\n"; got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, glob := range []string{"testdata/*.yaml", "testdata/bad/*.yaml"} {
		files, _ := filepath.Glob(glob)
		for _, path := range files {
			if text, err := os.ReadFile(path); err == nil {
				f.Add(string(text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := parseConfig("fuzz.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.yaml:") {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		s := &server{cfg: cfg}
		s.brokerOptions(s.cfg)
		if _, err := cfg.pluginConfigs(); err != nil {
			t.Errorf("accepted, then: %v", err)
		}
	})
}
